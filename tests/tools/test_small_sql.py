"""A small database answers reading queries at once; whatever else a model writes is refused in words, and never harms."""

from __future__ import annotations

import time

import pytest

from thinkery.core.errors import InputError
from thinkery.tools.small_sql import LONGEST, SmallDatabase, answered

PETS = SmallDatabase(
    "create table pets(name text,size int);insert into pets values('lem',3);insert into pets values('tob',7);insert into pets values('kas',null)"
)


def test_it_answers_with_names_and_rows() -> None:
    assert PETS.asked("select name,size from pets where size>2 order by size desc") == (["name", "size"], [("tob", 7), ("lem", 3)])
    assert PETS.asked("select size from pets where name=~lem~;")[1] == [(3,)]
    assert PETS.asked("select count(*) from pets where size is null")[1] == [(1,)]
    assert PETS.asked("select name from pets where name like ~%o%~")[1] == [("tob",)]
    assert PETS.asked("select size from pets where size=99") == (["size"], [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "select",
        "select size from cats",
        "select colour from pets",
        "select 1;select 2",
        "select ~lem from pets",
        "delete from pets",
        "drop table pets",
        "insert into pets values(~x~,1)",
        "create table x(y int)",
        "attach ~x~ as y",
        "pragma table_info(pets)",
        "select * from sqlite_master",
        "select sql from sqlite_schema",
        "select * from pragma_table_info(~pets~)",
        "select random()",
        "select zeroblob(1000000)",
        "select printf(~%1000000d~,1)",
        "select replace(name,~l~,~lllll~) from pets",
        "with recursive t(n) as (select 1 union all select n+1 from t) select count(*) from t",
        "select count(*) from pets a,pets b,pets c,pets d,pets e,pets f,pets g,pets h,pets i",
        "select a.size from pets a,pets b,pets c,pets d,pets e,pets f",
        "select " + "(" * 100 + "1" + ")" * 100,
        "select 1" + " " * LONGEST,
        "select 1\x00",
        "select ~\ud800~",
        "\u0663",
    ],
)
def test_all_else_is_refused_in_words_and_changes_nothing(text: str) -> None:
    began = time.thread_time()
    with pytest.raises(InputError) as found:
        PETS.asked(text)
    assert str(found.value)
    assert time.thread_time() - began < 1
    assert len(PETS.asked("select * from pets")[1]) == 3


def test_an_answer_is_kept_by_database_and_query() -> None:
    other = SmallDatabase("create table pets(name text,size int)")
    assert PETS.asked("select * from pets") != other.asked("select * from pets")
    before = answered.cache_info().hits
    PETS.asked("select * from pets")
    assert answered.cache_info().hits == before + 1

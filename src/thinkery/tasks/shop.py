"""A shop as a web site of text: its products, its pages, and what a purchase is worth by WebShop's rule (Yao et al. 2022, arXiv:2207.01206)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import InputError
from .environments import LONGEST, Episode

PER_PAGE = 3  # products on a page of results


@dataclass(frozen=True)
class Product:
    """What is sold: its code and name, its categories from wide to narrow, the query that leads to its like, what is true of it, the options
    to be picked, each with its values, and its price.
    """

    code: str
    name: str
    categories: tuple[str, ...]
    query: str
    attributes: frozenset[str]
    options: Mapping[str, tuple[str, ...]]
    price: int

    @property
    def line(self) -> str:
        """As a page of results lists it."""
        return f"{self.code} {self.name} {self.price}"


@dataclass(frozen=True)
class Wish:
    """What is wanted: the product's name, categories and query, attributes, values of options, and the highest price."""

    name: str
    categories: tuple[str, ...]
    query: str
    attributes: tuple[str, ...]
    options: tuple[str, ...]
    limit: int

    def met(self, product: Product) -> bool:
        """Whether buying it, with the right options, is worth 1 and it has the name itself."""
        values = {value for values in product.options.values() for value in values}
        return self.listed(product) and product.attributes >= {*self.attributes} and values >= {*self.options}

    def listed(self, product: Product) -> bool:
        """Whether a page of results shows nothing that is wrong with it."""
        return product.name == self.name and product.price <= self.limit


def worth(wish: Wish, product: Product, picked: Iterable[str]) -> dict[str, float]:
    """What a purchase is worth, in 0..1, as "reward", and what it is made of.

    reward = type * (attributes met + options met + price met) / (attributes + options + 1). "attributes" and "options" are the shares met
    (1 if none was wanted), "price" 0 or 1, "type" the factor of `alike`.
    """
    attributes = sum(a in product.attributes or a in product.name for a in wish.attributes)
    options = sum(value in wish.options for value in picked)
    price, factor = product.price <= wish.limit, alike(wish, product)
    wanted = len(wish.attributes) + len(wish.options) + 1
    return {
        "reward": factor * (attributes + options + price) / wanted,
        "type": factor,
        "attributes": attributes / len(wish.attributes) if wish.attributes else 1.0,
        "options": options / len(wish.options) if wish.options else 1.0,
        "price": float(price),
    }


def alike(wish: Wish, product: Product) -> float:
    """The type's factor, by the share of the wish's name that the product's has: 0 for none, 0.1 for less than a tenth; 0.5 up to a fifth,
    unless the query or two categories are the same; else 1.
    """
    wanted = {*wish.name.split()}
    share = len(wanted & {*product.name.split()}) / len(wanted)
    near = product.query == wish.query or len({*product.categories} & {*wish.categories}) >= 2
    return 0.0 if share == 0 else 0.1 if share < 0.1 else 1.0 if near or share > 0.2 else 0.5


@dataclass(frozen=True)
class View:
    """Where one is: the codes found by the last search, the page of them, the product that is open, the values picked by option, and whether
    it was bought.
    """

    found: tuple[str, ...] | None = None
    page: int = 0
    item: str = ""
    picked: Mapping[str, str] = field(default_factory=dict)
    bought: bool = False


@dataclass(frozen=True)
class Shop:
    """The products, in the order in which equally good ones are found."""

    products: Mapping[str, Product]

    def find(self, words: str) -> tuple[str, ...]:
        """The codes of what has at least one of the words in its name or attributes; what has more of them first."""
        asked = {*words.split()}
        hits = {code: len(asked & {*p.name.split(), *p.attributes}) for code, p in self.products.items()}
        return tuple(sorted((code for code in hits if hits[code]), key=lambda code: -hits[code]))

    def shown(self, view: View) -> str:
        """The page as text, its last line the actions that it offers."""
        if view.item:
            product = self.products[view.item]
            lines = [product.line, " ".join(sorted(product.attributes))]
            lines += [f"{name}:{','.join(values)}" for name, values in product.options.items()]
            return "\n".join([*lines, *(f"picked {value}" for value in view.picked.values()), "[pick,buy,back]"])
        if view.found is None:
            return "[search]"
        here = [self.products[code].line for code in self.on_page(view)]
        more = ["open"] * bool(here) + ["next"] * (len(view.found) > (view.page + 1) * PER_PAGE) + ["prev"] * (view.page > 0)
        return "\n".join([f"{len(view.found)} found", *here, f"[{','.join([*more, 'back', 'search'])}]"])

    def on_page(self, view: View) -> tuple[str, ...]:
        """The codes that the page of results lists."""
        return (view.found or ())[view.page * PER_PAGE :][:PER_PAGE]

    def after(self, view: View, action: str) -> View | None:
        """Where an action leads; None where there is no such action."""
        verb, _, rest = action.partition(" ")
        if view.item:
            option = next((name for name, values in self.products[view.item].options.items() if rest in values), None)
            if verb == "pick" and option is not None:
                return replace(view, picked={**view.picked, option: rest})
            return replace(view, item="", picked={}) if action == "back" else None
        if verb == "search" and rest.strip():
            return View(self.find(rest))
        if view.found is None:
            return None
        if verb == "open" and rest in self.on_page(view):
            return replace(view, item=rest)
        page = view.page + {"next": 1, "prev": -1}.get(action, 0)
        if page != view.page and 0 <= page * PER_PAGE < len(view.found):
            return replace(view, page=page)
        return View() if action == "back" else None


class Shopping(Episode):
    """A visit to a shop: `search WORDS`, `open CODE`, `next`, `prev`, `back`, `pick VALUE`; `buy` ends it and pays what the purchase is worth."""

    def __init__(self, shop: Shop, wish: Wish, first: str, turns: int) -> None:
        super().__init__(turns)
        self.shop, self.wish, self.first = shop, wish, first
        self.world: View = View()

    def begin(self) -> str:
        """See Episode."""
        self.world = View()
        return self.first

    def step(self, action: str) -> tuple[str, float, bool]:
        """See Episode."""
        view = self.world
        if action == "buy" and view.item:
            self.world = replace(view, bought=True)
            return f"bought {view.item}", self.purchase()["reward"], True
        after = self.shop.after(view, action)
        if after is None:
            raise InputError(f"not possible here: {action[:LONGEST]}\n{self.shop.shown(view)}")
        self.world = after
        return self.shop.shown(after), 0.0, False

    def purchase(self) -> dict[str, float]:
        """What the product that is open is worth as it is picked."""
        return worth(self.wish, self.shop.products[self.world.item], self.world.picked.values())

    def record(self) -> dict[str, Any]:
        """See Episode; `parts` has what the purchase is made of, if there was one."""
        made = self.purchase() if self.world.bought else {}
        return {**super().record(), "parts": {name: part for name, part in made.items() if name != "reward"}}

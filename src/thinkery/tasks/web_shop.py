"""A web shop: search, look, pick options and buy what was asked for. A purchase that is nearly right is worth something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..core.records import Problem
from ..core.rng import Stream
from .base import digest
from .generated import posed, span, whole
from .played import Played
from .shop import PER_PAGE, Product, Shop, Shopping, Wish

KINDS = {  # of product, with categories from wide to narrow
    "coffee mug": ("kitchen", "cups"),
    "tea mug": ("kitchen", "cups"),
    "soup bowl": ("kitchen", "bowls"),
    "salad bowl": ("kitchen", "bowls"),
    "hand towel": ("bath", "towels"),
    "beach towel": ("bath", "towels"),
    "bath mat": ("bath", "mats"),
    "desk lamp": ("home", "lamps"),
    "floor lamp": ("home", "lamps"),
    "wall clock": ("home", "clocks"),
    "rain coat": ("clothes", "coats"),
    "winter coat": ("clothes", "coats"),
    "running shoes": ("clothes", "shoes"),
    "phone case": ("travel", "cases"),
    "laptop case": ("travel", "cases"),
    "yoga mat": ("sport", "mats"),
}
ATTRIBUTES = ("foldable", "handmade", "heavy", "light", "padded", "quiet", "recycled", "soft", "strong", "washable", "waterproof")
OPTIONS = {"color": ("black", "blue", "green", "red", "white"), "size": ("small", "medium", "large")}
STEP = 10  # limits of the price are multiples of it


@dataclass(frozen=True)
class Spec:
    """asked      attributes and options together, from and to; half of them, and at most two, are options
    products   of the shop
    turns      until it closes
    """

    asked: tuple[int, int] = (1, 4)
    products: int = 8
    turns: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", span("asked", self.asked, 1, 6))
        whole("products", self.products, 4, 12)
        whole("turns", self.turns, 20, 100)


class Visit(NamedTuple):
    """What a problem holds: the shop, what is wanted, the turns there are."""

    shop: Shop
    wish: Wish
    turns: int


class WebShop(Played[Spec]):
    """Prompt `i want a soft coffee mug in red for at most 30\\n?`, reply `search coffee mug`, `open b417`, `pick red`, `buy`: an action a turn.

    Reward and pages are WebShop's (Yao et al. 2022, arXiv:2207.01206): the share of attributes, options and price that the purchase meets, times
    a factor for its type. A trace opens the products that seem right until one is; "direct" opens that one. "corrupted" buys something
    else. Difficulty counts the attributes and options asked for. Family: the kind of product, the attributes and the options.
    """

    name = "web_shop"
    default = Spec()
    action = "(?:search [a-z]{1,20}(?: [a-z]{1,20}){0,7}|open [a-z][0-9]{3}|pick [a-z]{1,20}|next|prev|back|buy)"
    instruction = (
        "You are in a web shop. A turn is one action, answered by the page that it leads to: search WORDS; open CODE, next, prev or back on a "
        "page of results; pick VALUE, buy or back on a product's page. Buying ends it, and counts by how much of the wish is met. If you get "
        'no pages, end with "#" and your actions, as in #search tea mug,open b417,buy.'
    )

    def __init__(self, **spec: object) -> None:
        super().__init__(**spec)
        seen, pages = self.spec.products * len("open b417\nback\n"), -(-self.spec.products // PER_PAGE) * len("next\n")
        self.max_tokens = seen + pages + len("#search running shoes\npick medium\npick medium\nbuy\n")

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        count = stream.between(*spec.asked)
        while True:
            wish, shop = stocked(count, spec.products, stream)
            family = " ".join([wish.name, *wish.attributes, *wish.options])
            visit = Visit(shop, wish, spec.turns)
            found = posed(worded(wish), ",".join(bought(visit, look=False)), family, count, visit)
            yield replace(found, id=digest("\n".join([found.question.prompt, *shop.products])).hex())

    def tools(self, problem: Problem, rng: Stream | None = None) -> Shopping:
        """See Played."""
        shop, wish, turns = problem.data
        return Shopping(shop, wish, problem.question.prompt, turns)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated."""
        if style == "direct":
            return f"#{problem.answer}"
        return "\n".join(bought(problem.data, look=True) if style == "trace" else mistaken(problem.data, stream))


def worded(wish: Wish) -> str:
    """The wish in words."""
    picked = f" in {' and '.join(wish.options)}" if wish.options else ""
    return f"i want a {' '.join([*wish.attributes, wish.name])}{picked} for at most {wish.limit}\n?"


def stocked(count: int, products: int, stream: Stream) -> tuple[Wish, Shop]:
    """A wish of that many attributes and options, and a shop that has it, one alone: what else is of its kind lacks an attribute or is too
    dear.
    """
    options = min(2, count // 2)
    name, names = stream.choice([*KINDS]), stream.sample([*OPTIONS], options)
    attributes = tuple(sorted(stream.sample(ATTRIBUTES, count - options)))
    price = stream.between(5, 90)
    fitting = offer(name, {*attributes, *stream.sample(ATTRIBUTES, 2)}, price, stream)
    wish = Wish(
        name,
        fitting.categories,
        fitting.query,
        attributes,
        tuple(stream.choice(fitting.options[o]) for o in sorted(names)),
        STEP * (price // STEP + stream.between(2, 4)),
    )
    stock = [fitting]
    others = [kind for kind in KINDS if not {*kind.split()} & {*name.split()}]
    for i in range(1, products):
        kind = name if i % 2 else stream.choice(others if i == 2 else [*KINDS])
        lacked = stream.choice(attributes)
        if stream.below(3):
            at, has = stream.between(5, wish.limit), {*stream.sample([a for a in ATTRIBUTES if a != lacked], 4)}
        else:
            at, has = wish.limit + stream.between(1, 30), {*attributes, stream.choice(ATTRIBUTES)}
        stock.append(offer(kind, has, at, stream))
    codes = stream.sample(range(100, 1000), products)
    coded = [replace(p, code=f"{p.categories[-1][0]}{code}") for p, code in zip(stock, codes)]
    stream.shuffle(coded)
    return wish, Shop({p.code: p for p in coded})


def offer(name: str, attributes: set[str], price: int, stream: Stream) -> Product:
    """A product of that kind, with two values of each option."""
    options = {option: tuple(sorted(stream.sample(values, 2))) for option, values in OPTIONS.items()}
    return Product("", name, KINDS[name], KINDS[name][-1], frozenset(attributes), options, price)


def bought(visit: Visit, look: bool) -> list[str]:
    """Actions that fulfil the wish: the first product that does is bought, `look`: after opening those before it that seem to."""
    shop, wish, _ = visit
    found, page, actions = shop.find(wish.name), 0, [f"search {wish.name}"]
    for i, code in enumerate(found):
        product = shop.products[code]
        right = wish.met(product)
        if right or (look and wish.listed(product)):
            actions += ["next"] * (i // PER_PAGE - page)
            page = i // PER_PAGE
            actions += [f"open {code}", *([] if right else ["back"])]
        if right:
            return [*actions, *(f"pick {value}" for value in wish.options), "buy"]
    raise AssertionError("unreachable: the shop has what is wanted")


def mistaken(visit: Visit, stream: Stream) -> list[str]:
    """Actions that buy a thing of another kind."""
    shop, wish, _ = visit
    other = stream.choice([p for p in shop.products.values() if not {*p.name.split()} & {*wish.name.split()}])
    at = shop.find(other.name).index(other.code)
    return [f"search {other.name}", *["next"] * (at // PER_PAGE), f"open {other.code}", "buy"]

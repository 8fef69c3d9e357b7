"""Wrong uses. Both type checkers refuse exactly the lines that end in ``# wrong``."""

from __future__ import annotations

from taskq import TaskQ, task

app = TaskQ("memory://")


@app.task
def double(number: int, *, label: str = "") -> int:
    return number * 2


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


double.delay(1)
double.delay("1")  # wrong
double.delay()  # wrong
double.delay(1, 2)  # wrong
double.delay(1, lable="x")  # wrong
double.delay(number="1")  # wrong

fetch.delay("/")
fetch.delay(1)  # wrong
double.apply_at(5, 1)
double.apply_at(5, "1")  # wrong
double.apply_at("tomorrow", 1)  # wrong
double.apply_at(5)  # wrong

double.apply_async((1,), countdown=5)
double.apply_async(1)  # wrong
double.apply_async((1,), countdown="5")  # wrong
double.apply_async((1,), que="low")  # wrong

double.using(priority=1).delay(1)
double.using(priorty=1)  # wrong
double.using(priority="high")  # wrong
double.using(on_duplicate="ignore")  # wrong
double.using(name="other")  # wrong
double.using(priority=1).delay("1")  # wrong

double.delay_many([(1,)])
double.delay_many(1)  # wrong

text: str = double.delay(1).result()  # wrong
number: int = fetch.delay("/").result()  # wrong
double("1")  # wrong


@app.task(que="low")  # wrong
def misspelt() -> None: ...


@task(max_retry="5")  # wrong
def mistyped() -> None: ...


async def in_asyncio() -> None:
    await double.adelay(1)
    await double.adelay("1")  # wrong
    await fetch.aapply_at(5, 1)  # wrong
    found: str = await fetch.delay("/")  # wrong
    print(found)

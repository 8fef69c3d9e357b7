"""The shop's jobs. A worker finds them by ``--app sample_project.shop:app``."""

from __future__ import annotations

import asyncio
import csv
import os
import random
import time
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path

from sample_project import png
from taskq import Exponential, Fail, Snooze, TaskQ, current_job

app = TaskQ()  # where the jobs live: $TASKQ_URL, else sqlite:///taskq.db in the working folder

FOLDER = Path(os.environ.get("SHOP_FOLDER", "shop-files"))
"""Where the shop keeps its files."""


def folder(name: str) -> Path:
    path = FOLDER / name
    path.mkdir(parents=True, exist_ok=True)
    return path


# -- a mail, with a value of one's own as the argument ---------------------------------------
@dataclass
class Customer:
    name: str
    email: str


@app.task(queue="mail")
def send_welcome(customer: Customer) -> str:
    """Writes the mail into the outbox; a real shop would hand it to its mail server here."""
    mail = EmailMessage()
    mail["From"] = "The Harbour Shop <hello@shop.example>"
    mail["To"] = f"{customer.name} <{customer.email}>"
    mail["Subject"] = "Welcome aboard"
    mail.set_content(f"Dear {customer.name},\n\nwelcome to the Harbour Shop.\n")
    time.sleep(0.2)  # what a mail server takes
    path = folder("outbox") / f"{customer.email}.eml"
    path.write_bytes(bytes(mail))
    return f"outbox/{path.name}"


# -- work for the processor ------------------------------------------------------------------
@app.task(queue="pictures", timeout=60)
def make_thumbnail(picture: Path, width: int) -> str:
    """Shrinks a picture, and tells how far it is."""
    job = current_job()
    job.progress(0, 1, "reading")
    whole = png.read(picture)
    small = png.shrink(whole, width, lambda row, of: job.progress(row, of, "shrinking"))
    path = folder("thumbnails") / picture.name
    png.write(path, small)
    return f"thumbnails/{path.name}, {small.width} × {small.height}"


# -- a long job that shows its progress --------------------------------------------------------
@app.task(queue="reports")
def sales_report(month: date) -> str:
    """Adds up the sales of each day of a month into a table."""
    job = current_job()
    sales = random.Random(month.toordinal())
    days = [day for n in range(31) if (day := month + timedelta(days=n)).month == month.month]
    total = Decimal(0)
    path = folder("reports") / f"{month:%Y-%m}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["day", "orders", "turnover"])
        for number, day in enumerate(days, 1):
            time.sleep(0.1)  # what the query of one day takes
            orders = sales.randint(8, 60)
            turnover = Decimal(sum(sales.randint(500, 9900) for _ in range(orders))) / 100
            table.writerow([day.isoformat(), orders, turnover])
            total += turnover
            job.progress(number, len(days), f"{day:%d %B}")
    return f"reports/{path.name}, €{total:,.2f}"


# -- a failure that passes, and one that does not ---------------------------------------------
class GatewayTimeout(Exception):
    """The payment service did not answer."""


@app.task(max_retry=5, backoff=Exponential(base=0.6, jitter=0.1))
def charge(order: int, amount: Decimal) -> str:
    """Takes the money. The payment service fails twice for each order, then it works."""
    time.sleep(0.2)
    if current_job().attempt < 3:
        raise GatewayTimeout("no answer from the bank")
    return f"€{amount} paid"


@app.task
def refund(order: int) -> str:
    """Pays money back; this one finds that it never can."""
    time.sleep(0.3)
    raise Fail(f"order {order} was never paid")


# -- a coroutine: many answers are waited for at the same time ---------------------------------
@app.task
async def check_stock(article: str) -> str:
    """Asks all suppliers at once."""
    stock = random.Random(article)

    async def ask(supplier: str) -> int:
        await asyncio.sleep(stock.uniform(0.3, 0.9))
        return stock.randint(0, 40)

    suppliers = ["Bergen", "Cork", "Gdańsk", "Lisbon", "Trieste"]
    pieces = await asyncio.gather(*map(ask, suppliers))
    most, supplier = max(zip(pieces, suppliers, strict=True))
    return f"{sum(pieces)} pieces, {most} of them in {supplier}"


# -- a job of several steps, which moves itself on ---------------------------------------------
STEPS = ("picked", "packed", "handed over")


@app.task
def ship(order: int, step: int = 0) -> str:
    """Does one step and goes to sleep until the next is due, without holding a thread."""
    time.sleep(0.2)
    job = current_job()
    job.log(STEPS[step])
    job.progress(step + 1, len(STEPS), STEPS[step])
    if step + 1 < len(STEPS):
        raise Snooze(0.4, args=(order, step + 1))
    return ", ".join(STEPS)


# -- what runs at night ------------------------------------------------------------------------
@app.task(queue="low")
def clean_up(older_than: timedelta) -> str:
    """Deletes old exports."""
    limit = time.time() - older_than.total_seconds()
    old = [path for path in folder("exports").iterdir() if path.stat().st_mtime < limit]
    for path in old:
        path.unlink()
    return f"{len(old)} old exports deleted"

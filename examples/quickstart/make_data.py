"""Makes the ZIP that a user of an agent might upload: a year of sales as CSV files, and a note."""

import csv
import io
import random
import sys
import zipfile

SHOPS = {"Berlin": 1.0, "Lisbon": 0.7, "Oslo": 0.5}
PRODUCTS = {"tea": 4.2, "coffee": 6.5, "cocoa": 5.1}


def month_as_csv(month: int, rng: random.Random) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["date", "shop", "product", "units", "price"])
    for day in range(1, 29):
        for shop, size in SHOPS.items():
            for product, price in PRODUCTS.items():
                season = 1 + 0.4 * (month in (11, 12, 1, 2)) * (product != "coffee")
                units = max(0, round(rng.gauss(40 * size * season, 8)))
                rows.writerow([f"2025-{month:02}-{day:02}", shop, product, units, price])
    return text.getvalue()


def main() -> None:
    rng = random.Random(2025)
    with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", "Sales of three shops in 2025, one file a month.\n")
        for month in range(1, 13):
            archive.writestr(f"months/2025-{month:02}.csv", month_as_csv(month, rng))


main()

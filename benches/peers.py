#!/usr/bin/env python3
"""DuckDB and Polars on the files of `cargo bench --bench speed`, for the work that they can do.

    cargo bench --bench speed                  # writes the files; `-- work` alone does, too
    pip install duckdb polars
    python3 benches/peers.py [FOLDER]          # the folder is liqsql-bench-data-v1 in that for temporary files

Every case runs five times after a warm-up, with as many threads as there are cores, and the fastest and the median are
printed, with what the answer adds up to: where two programs do the same, the sums must agree to 1e-9 or the line says
so. A program that is not installed is skipped with one line.

The final map of these programs is the simplest that is called one: what each bar opens stands at its liquidation prices
until a later low or high passes them. There are no closes, which is less than the model of liqsql does.
"""

import importlib
import os
import platform
import statistics
import sys
import tempfile
import time

TIERS = [10, 25, 50, 100]
RATE = 0.004
STEP = 60
PASSES = 5


def folder():
    return sys.argv[1] if len(sys.argv) > 1 else os.path.join(tempfile.gettempdir(), "liqsql-bench-data-v1")


def load(name):
    """Returns the module, or None after saying that it is skipped."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"SKIPPED {name}: {error} (pip install {name})")
        return None


def files(root, table):
    return os.path.join(folder(), root, table, "*", "*", "*", "part.parquet")


def measure(work):
    """Returns the fastest and the median time in seconds, and the answer of the last pass."""
    answer = work()
    times = []
    for _ in range(PASSES):
        start = time.perf_counter()
        answer = work()
        times.append(time.perf_counter() - start)
    return min(times), statistics.median(times), answer


# ── DuckDB ──────────────────────────────────────────────────────────────────────────────────────────────────────────

LEVELS = f"""
    CASE side WHEN 'long' THEN price * (1 - 1.0 / leverage) / (1 - {RATE})
              ELSE price * (1 + 1.0 / leverage) / (1 + {RATE}) END
"""


def duckdb_cases(duckdb):
    connection = duckdb.connect()
    connection.execute(f"SET threads = {os.cpu_count()}")
    tiers = f"(SELECT unnest({TIERS})::DOUBLE AS leverage)"
    held = {}

    def query(sql):
        return lambda: connection.execute(sql).fetchall()

    def in_memory(name, root, table):
        if name not in held:
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{files(root, table)}')")
            held[name] = True

    def candles():
        return f"read_parquet('{files('history-4', 'candles')}')"

    def trades():
        return f"read_parquet('{files('trades', 'trades')}')"

    def asof():
        in_memory("candles_held", "history-4", "candles")
        in_memory("open_interest_held", "history-4", "open_interest")
        # Every column is used, and none of the rows is handed to Python.
        return query(
            "SELECT count(c.ts), sum(open), sum(high), sum(low), sum(close), sum(volume), sum(taker_buy_volume), "
            "sum(open_interest) FROM candles_held c ASOF LEFT JOIN open_interest_held o "
            "ON c.exchange = o.exchange AND c.symbol = o.symbol AND c.ts >= o.ts"
        )

    def positions():
        in_memory("positions_held", "positions", "positions")
        return query(
            f"WITH cells AS (SELECT side, floor(liquidation_price / {STEP}) AS cell, sum(notional_usd) AS usd "
            "FROM positions_held WHERE liquidation_price IS NOT NULL GROUP BY ALL) SELECT count(*), sum(usd) FROM cells"
        )

    # What a bar opens survives if no later low is at or below its level (long), or no later high at or above it (short).
    final_map = f"""
        WITH bars AS (
            SELECT (high + low + close) / 3 AS price, volume,
                   min(low) OVER later AS lowest_after, max(high) OVER later AS highest_after
            FROM {candles()}
            WINDOW later AS (ORDER BY ts ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
        ), levels AS (
            SELECT side, volume / 4 AS size, {LEVELS} AS level, lowest_after, highest_after
            FROM bars, {tiers}, (VALUES ('long'), ('short')) AS sides (side)
        ), standing AS (
            SELECT side, floor(level / {STEP}) AS cell, sum(size * level) AS usd FROM levels
            WHERE CASE side WHEN 'long' THEN coalesce(lowest_after > level, true)
                            ELSE coalesce(highest_after < level, true) END
            GROUP BY ALL
        ) SELECT count(*), sum(usd) FROM standing"""
    opened = f"SELECT CASE side WHEN 'buy' THEN 'long' ELSE 'short' END AS side, price, size FROM {trades()}"
    by_price = f"SELECT side, price, sum(size) AS size FROM ({opened}) GROUP BY ALL"

    def bucketed(opened):
        return f"""
            WITH cells AS (
                SELECT side, floor(level / {STEP}) AS cell, sum(size / 4 * level) AS usd
                FROM (SELECT side, size, {LEVELS} AS level FROM ({opened}), {tiers}) GROUP BY ALL
            ) SELECT count(*), sum(usd) FROM cells"""

    minutes = f"""
        WITH minutes AS (
            SELECT exchange, symbol, time_bucket(INTERVAL '1 minute', ts) AS minute, arg_min(price, ts) AS open,
                   max(price) AS high, min(price) AS low, arg_max(price, ts) AS close, sum(size) AS volume,
                   sum(size) FILTER (side = 'buy') AS taker_buy_volume
            FROM {trades()} GROUP BY ALL
        ) SELECT count(*), sum(volume) FROM minutes"""
    sums = lambda source, columns: query(
        f"SELECT count(ts), {', '.join(f'sum({column})' for column in columns)} FROM {source}"
    )
    return [
        ("scan of 420,480 candles", sums(candles(), ["open", "high", "low", "close", "volume"])),
        ("scan of 10 M trades", sums(trades(), ["price", "size", "(side = 'buy')::INT"])),
        ("final map, 420,480 bars x 4 tiers", query(final_map)),
        ("bucketed map, 10 M trades x 4 tiers, by price first", query(bucketed(by_price))),
        ("bucketed map, 10 M trades x 4 tiers, each trade", query(bucketed(opened))),
        ("candles of a minute from 10 M trades", query(minutes)),
        ("100,000 positions to a map, after the scan", positions()),
        ("as-of join, 420,480 x 420,480, after the scan", asof()),
    ]


# ── Polars ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def polars_cases(pl):
    candles = lambda: pl.scan_parquet(files("history-4", "candles"), hive_partitioning=True)
    trades = lambda: pl.scan_parquet(files("trades", "trades"), hive_partitioning=True)

    def level(side, leverage):
        price = pl.col("price")
        if side == "long":
            return price * (1 - 1 / leverage) / (1 - RATE)
        return price * (1 + 1 / leverage) / (1 + RATE)

    def cells(sides, size):
        """Buckets the levels of every side and tier; `sides` are rows of a side with its price and size."""
        parts = [
            rows.select(
                pl.lit(side).alias("side"),
                (level(side, leverage) / STEP).floor().alias("cell"),
                (pl.col(size) / len(TIERS) * level(side, leverage)).alias("usd"),
            )
            for side, leverage, rows in sides
        ]
        # Each part is added up before they are joined: fewer rows are held.
        parts = [part.group_by("side", "cell").agg(pl.col("usd").sum()) for part in parts]
        return pl.concat(parts).group_by("side", "cell").agg(pl.col("usd").sum())

    def collected(make):
        def work():
            frame = make().select(pl.len(), pl.all().exclude("side", "cell").sum()).collect()
            return [frame.row(0)]
        return work

    def sums(make, *columns):
        return lambda: [make().select(pl.col("ts").count(), *columns).collect().row(0)]

    def final_map():
        bars = candles().sort("ts").select(
            ((pl.col("high") + pl.col("low") + pl.col("close")) / 3).alias("price"),
            pl.col("volume"),
            pl.col("low").cum_min(reverse=True).shift(-1).fill_null(float("inf")).alias("lowest_after"),
            pl.col("high").cum_max(reverse=True).shift(-1).fill_null(0.0).alias("highest_after"),
        )
        bars = bars.collect().lazy()
        standing = lambda side, leverage: bars.filter(
            pl.col("lowest_after") > level(side, leverage)
            if side == "long"
            else pl.col("highest_after") < level(side, leverage)
        )
        return cells([(s, t, standing(s, t)) for s in ("long", "short") for t in TIERS], "volume")

    def bucketed(first_by_price):
        rows = trades().select("side", "price", "size")
        if first_by_price:
            rows = rows.group_by("side", "price").agg(pl.col("size").sum()).collect().lazy()
        opened = {"long": rows.filter(pl.col("side") == "buy"), "short": rows.filter(pl.col("side") != "buy")}
        return cells([(side, tier, opened[side]) for side in opened for tier in TIERS], "size")

    def minutes():
        price, size = pl.col("price"), pl.col("size")
        return trades().group_by_dynamic("ts", every="1m", group_by=["exchange", "symbol"]).agg(
            price.first().alias("open"), price.max().alias("high"), price.min().alias("low"),
            price.last().alias("close"), size.sum().alias("volume"),
            size.filter(pl.col("side") == "buy").sum().alias("taker_buy_volume"),
        )

    def minutes_summed():
        return [minutes().select(pl.len(), pl.col("volume").sum()).collect().row(0)]

    def asof():
        left, right = candles().collect(), pl.scan_parquet(
            files("history-4", "open_interest"), hive_partitioning=True).collect()
        # Sortedness by ts is declared, as it is to the others.
        left, right = left.set_sorted("ts"), right.set_sorted("ts")
        summed = ["open", "high", "low", "close", "volume", "taker_buy_volume", "open_interest"]

        def work():
            joined = left.join_asof(right, on="ts", by=["exchange", "symbol"], check_sortedness=False)
            return [joined.select(pl.len(), *[pl.col(column).sum() for column in summed]).row(0)]

        return work

    def positions():
        held = pl.scan_parquet(files("positions", "positions"), hive_partitioning=True).collect().lazy()
        cell = (pl.col("liquidation_price") / STEP).floor().alias("cell")
        cells = held.drop_nulls("liquidation_price").group_by("side", cell).agg(pl.col("notional_usd").sum())
        return collected(lambda: cells)

    prices = [pl.col(column).sum() for column in ("open", "high", "low", "close", "volume")]
    traded = [pl.col("price").sum(), pl.col("size").sum(), (pl.col("side") == "buy").sum()]
    return [
        ("scan of 420,480 candles", sums(candles, *prices)),
        ("scan of 10 M trades", sums(trades, *traded)),
        ("final map, 420,480 bars x 4 tiers", collected(final_map)),
        ("bucketed map, 10 M trades x 4 tiers, by price first", collected(lambda: bucketed(True))),
        ("bucketed map, 10 M trades x 4 tiers, each trade", collected(lambda: bucketed(False))),
        ("candles of a minute from 10 M trades", minutes_summed),
        ("100,000 positions to a map, after the scan", positions()),
        ("as-of join, 420,480 x 420,480, after the scan", asof()),
    ]


# ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────────

def flat(answer):
    """Returns the numbers of an answer, of one row."""
    return [float(value) for value in answer[0]]


def agrees(a, b):
    return len(a) == len(b) and all(abs(x - y) <= 1e-9 * max(abs(x), abs(y), 1.0) for x, y in zip(a, b))


def main():
    missing = [root for root in ("history-4", "trades", "positions") if not os.path.isdir(os.path.join(folder(), root))]
    if missing:
        print(f"SKIPPED: {folder()} has no {', '.join(missing)}; run `cargo bench --bench speed` first")
        return
    # Polars takes the number of threads when it is loaded.
    os.environ.setdefault("POLARS_MAX_THREADS", str(os.cpu_count()))
    programs = []
    for name, cases in (("duckdb", duckdb_cases), ("polars", polars_cases)):
        module = load(name)
        if module:
            programs.append((name, module.__version__, cases(module)))
    if not programs:
        return
    versions = ", ".join(f"{name} {version}" for name, version, _ in programs)
    print(f"conditions: {os.cpu_count()} cores, {platform.machine()}, {versions}, Python {platform.python_version()}; "
          f"{PASSES} passes after a warm-up; files of {folder()} in the page cache")
    print(f"{'work':<52} | {'program':<8} | {'fastest':>9} | {'median':>9} | answer")
    print("-" * 120)
    first = {}
    for name, _, cases in programs:
        for work, run in cases:
            fastest, median, answer = measure(run)
            numbers = flat(answer)
            known = first.setdefault(work, (name, numbers))
            remark = "" if agrees(numbers, known[1]) else f"  DIFFERS from {known[0]}"
            shown = ", ".join(f"{number:.6g}" for number in numbers)
            print(f"{work:<52} | {name:<8} | {fastest:>7.4f} s | {median:>7.4f} s | {shown}{remark}", flush=True)


if __name__ == "__main__":
    main()

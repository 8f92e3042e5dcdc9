//! What must hold for the pools of every heatmap: as laws of the kernel, against a slow reference, and in SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionContext, col};
use liqsql::model::pools::{Pool, PoolRules, Pools};
use liqsql::model::side::Side;
use liqsql::model::snapshot::{PriceCell, Snapshot};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::check;
use crate::slt::{fixed_config, query, session, with_large_stack};

const HOUR: i64 = 3_600_000;

// ── Heatmaps ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Cells of 1 from 80 to 120: what stands in each, and the price, a limit between cells.
#[derive(Debug, Clone)]
struct Frame {
    hours: i64,
    price: Option<i64>,
    usd: Vec<f64>,
}

const FIRST: i64 = 80;
const CELLS: usize = 40;

impl Frame {
    /// The frame at the end of some hours, in cells of `1 / parts`.
    fn snapshot(&self, ts: i64, parts: usize) -> Snapshot {
        let width = 1.0 / parts as f64;
        let mut cells = Vec::new();
        for (i, usd) in self.usd.iter().enumerate() {
            let place = FIRST + i as i64;
            let side = if place < self.price.unwrap_or(100) { Side::Long } else { Side::Short };
            for part in 0..parts {
                let low = place as f64 + part as f64 * width;
                cells.push(PriceCell { side, leverage: None, low, high: low + width, usd: usd / parts as f64 });
            }
        }
        let mut snapshot = Snapshot { ts, price: self.price.map(|price| price as f64), cells };
        snapshot.sort();
        snapshot.join_leverages();
        snapshot
    }
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let usd = prop_oneof![3 => 0.0..1.0, 1 => Just(0.0), 4 => 1.0..12.0];
    let price = prop_oneof![1 => Just(None), 8 => (95i64..=105).prop_map(Some)];
    let hours = prop_oneof![8 => Just(1i64), 1 => 2i64..40];
    // Most frames are like the one before, a few cells aside.
    let change = vec((0..CELLS, usd.clone()), 0..10);
    (vec(usd, CELLS), vec((hours, price, change), 1..60)).prop_map(|(mut usd, changes)| {
        changes
            .into_iter()
            .map(|(hours, price, change)| {
                for (cell, amount) in change {
                    usd[cell] = amount;
                }
                Frame { hours, price, usd: usd.clone() }
            })
            .collect()
    })
}

fn rules() -> impl Strategy<Value = PoolRules> {
    let hours = prop_oneof![Just(24i64), 1i64..6, Just(1_000_000)];
    (prop_oneof![Just(0.85), Just(0.0), 0.0..2.0], prop_oneof![Just(0.8), Just(0.0), 0.0..=1.0], hours)
        .prop_map(|(threshold, valley, hours)| PoolRules { threshold, valley, memory: hours * HOUR })
}

fn snapshots(frames: &[Frame]) -> Vec<Snapshot> {
    let mut ts = 0;
    let at = |frame: &Frame| {
        ts += frame.hours * HOUR;
        frame.snapshot(ts, 1)
    };
    frames.iter().map(at).collect()
}

fn run(rules: PoolRules, snapshots: &[Snapshot]) -> Vec<Vec<Pool>> {
    let mut pools = Pools::new(rules);
    snapshots.iter().map(|snapshot| pools.frame(snapshot).to_vec()).collect()
}

/// The cells of a pool.
fn cells_of(pool: &Pool, snapshot: &Snapshot) -> Vec<PriceCell> {
    let within = |cell: &&PriceCell| {
        cell.side == pool.side && cell.low >= pool.price_low - 1e-9 && cell.high <= pool.price_high + 1e-9
    };
    snapshot.cells.iter().filter(within).copied().collect()
}

// ── A slow reference ────────────────────────────────────────────────────────────────────────────────────────────────

/// Cuts a run by its definition: at the lowest cell that is less than `valley` × the higher of what is on each side of
/// it, then each part likewise.
fn cut(cells: &[PriceCell], valley: f64) -> Vec<Vec<PriceCell>> {
    let highest = |part: &[PriceCell]| part.iter().map(|cell| cell.usd).fold(0.0, f64::max);
    let lowest = (1..cells.len().saturating_sub(1))
        .filter(|i| cells[*i].usd < valley * highest(&cells[..*i]).min(highest(&cells[i + 1..])))
        .min_by(|a, b| cells[*a].usd.total_cmp(&cells[*b].usd));
    let Some(lowest) = lowest else { return vec![cells.to_vec()] };
    let at = if cells[lowest - 1].usd < cells[lowest + 1].usd { lowest } else { lowest + 1 };
    [cut(&cells[..at], valley), cut(&cells[at..], valley)].concat()
}

/// The runs of a frame by their definition.
fn runs(rules: PoolRules, snapshot: &Snapshot) -> Vec<Vec<PriceCell>> {
    let mean = snapshot.cells.iter().map(|cell| cell.usd).sum::<f64>() / snapshot.cells.len() as f64;
    let mut runs: Vec<Vec<PriceCell>> = Vec::new();
    for cell in snapshot.cells.iter().filter(|cell| cell.usd >= rules.threshold * mean * (1.0 - 1e-12)) {
        match runs.last_mut().and_then(|run| run.last().copied().map(|last| (run, last))) {
            Some((run, last)) if last.side == cell.side && last.high == cell.low => run.push(*cell),
            _ => runs.push(vec![*cell]),
        }
    }
    runs.iter().flat_map(|run| cut(run, rules.valley)).collect()
}

/// A pool as it was last seen: number, birth, instant, its cells by place.
struct Known {
    id: i64,
    born_ts: i64,
    seen_ts: i64,
    side: Side,
    cells: BTreeMap<i64, f64>,
}

impl Known {
    fn is_swept(&self, price: Option<f64>) -> bool {
        let peak = self.cells.values().copied().fold(0.0, f64::max);
        let peak = *self.cells.iter().find(|(_, usd)| **usd == peak).unwrap().0 as f64 + 0.5;
        price.is_some_and(|price| if self.side == Side::Long { price < peak } else { price > peak })
    }
}

/// Returns number and birth of each pool of each frame, by the definition of identity.
fn identities(rules: PoolRules, snapshots: &[Snapshot]) -> Vec<Vec<(i64, i64)>> {
    let mut known: Vec<Known> = Vec::new();
    let mut last_ts = i64::MIN;
    let mut last_id = 0;
    let mut answer = Vec::new();
    for snapshot in snapshots {
        let current: Vec<(Side, BTreeMap<i64, f64>)> = runs(rules, snapshot)
            .iter()
            .map(|run| (run[0].side, run.iter().map(|cell| (cell.low as i64, cell.usd)).collect()))
            .collect();
        known.retain(|pool| {
            pool.seen_ts == last_ts || (snapshot.ts - pool.seen_ts <= rules.memory && !pool.is_swept(snapshot.price))
        });
        let mut found: Vec<Option<(i64, i64)>> = vec![None; current.len()];
        loop {
            let mut best: Option<(f32, usize, usize)> = None;
            for (k, pool) in known.iter().enumerate().filter(|(_, pool)| pool.seen_ts < snapshot.ts) {
                for (c, (side, cells)) in current.iter().enumerate().filter(|(c, _)| found[*c].is_none()) {
                    let both = cells.iter().map(|(at, usd)| pool.cells.get(at).map_or(0.0, |known| known.min(*usd)));
                    let both = if *side == pool.side { both.sum::<f64>() as f32 } else { 0.0 };
                    if both > best.map_or(0.0, |(most, _, _)| most) {
                        best = Some((both, k, c));
                    }
                }
            }
            let Some((_, k, c)) = best else { break };
            found[c] = Some((known[k].id, known[k].born_ts));
            known[k].seen_ts = snapshot.ts;
            known[k].cells = current[c].1.clone();
        }
        for (c, (side, cells)) in current.into_iter().enumerate() {
            if found[c].is_none() {
                last_id += 1;
                found[c] = Some((last_id, snapshot.ts));
                let (id, ts) = (last_id, snapshot.ts);
                known.push(Known { id, born_ts: ts, seen_ts: ts, side, cells });
            }
        }
        known.retain(|pool| pool.seen_ts == snapshot.ts || !pool.is_swept(snapshot.price));
        last_ts = snapshot.ts;
        answer.push(found.into_iter().map(|found| found.unwrap()).collect());
    }
    answer
}

// ── Laws ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn every_bright_cell_is_in_one_pool() {
    check(1, 400, (frames(), rules()), |(frames, rules)| {
        let snapshots = snapshots(&frames);
        for (pools, snapshot) in run(rules, &snapshots).iter().zip(&snapshots) {
            let expected = runs(rules, snapshot);
            let found: Vec<Vec<PriceCell>> = pools.iter().map(|pool| cells_of(pool, snapshot)).collect();
            prop_assert_eq!(&found, &expected);
            for side in Side::BOTH {
                let of_side: Vec<&Pool> = pools.iter().filter(|pool| pool.side == side).collect();
                let standing: f64 = snapshot.side(side).iter().map(|cell| cell.usd).sum();
                let mut by_rank = of_side.clone();
                by_rank.sort_by_key(|pool| pool.rank);
                prop_assert!(by_rank.iter().map(|pool| pool.rank).eq(1..=by_rank.len() as i64));
                prop_assert!(by_rank.is_sorted_by(|a, b| a.usd >= b.usd));
                for (pool, cells) in pools.iter().zip(&found).filter(|(pool, _)| pool.side == side) {
                    let usd: f64 = cells.iter().map(|cell| cell.usd).sum();
                    prop_assert!((usd - pool.usd).abs() <= 1e-9 * usd);
                    prop_assert!((pool.share - usd / standing).abs() <= 1e-9);
                    prop_assert!(pool.price_low < pool.peak_price && pool.peak_price < pool.price_high);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn identity_is_as_defined() {
    check(2, 400, (frames(), rules()), |(frames, rules)| {
        let snapshots = snapshots(&frames);
        let found: Vec<Vec<(i64, i64)>> = run(rules, &snapshots)
            .iter()
            .map(|pools| pools.iter().map(|pool| (pool.id, pool.born_ts)).collect())
            .collect();
        prop_assert_eq!(found, identities(rules, &snapshots));
        Ok(())
    });
}

#[test]
fn numbers_are_given_once_and_in_order() {
    check(3, 400, (frames(), rules()), |(frames, rules)| {
        let snapshots = snapshots(&frames);
        let mut born: BTreeMap<i64, (i64, Side)> = BTreeMap::new();
        for (pools, snapshot) in run(rules, &snapshots).iter().zip(&snapshots) {
            let ids: BTreeSet<i64> = pools.iter().map(|pool| pool.id).collect();
            prop_assert_eq!(ids.len(), pools.len());
            for pool in pools {
                match born.get(&pool.id) {
                    Some(known) => prop_assert_eq!(*known, (pool.born_ts, pool.side)),
                    None => {
                        prop_assert_eq!(pool.id, born.len() as i64 + 1);
                        prop_assert_eq!(pool.born_ts, snapshot.ts);
                        born.insert(pool.id, (pool.born_ts, pool.side));
                    }
                }
            }
        }
        Ok(())
    });
}

/// Frames in cells of 1, 1/2 and 1/4 by turns.
#[test]
fn the_height_of_cells_does_not_matter() {
    let parts = vec(select(vec![1usize, 2, 4]), 60);
    check(4, 300, (frames(), rules(), parts), |(frames, rules, parts)| {
        let whole = snapshots(&frames);
        let mixed: Vec<Snapshot> = frames
            .iter()
            .zip(&whole)
            .zip(parts)
            .map(|((frame, whole), parts)| frame.snapshot(whole.ts, parts))
            .collect();
        for (a, b) in run(rules, &whole).iter().flatten().zip(run(rules, &mixed).iter().flatten()) {
            prop_assert_eq!((a.id, a.born_ts, a.price_low, a.price_high), (b.id, b.born_ts, b.price_low, b.price_high));
        }
        Ok(())
    });
}

#[test]
fn units_do_not_matter() {
    check(5, 200, (frames(), rules(), -8..8i32, -8..8i32), |(frames, rules, price, usd)| {
        let (price, usd) = (2f64.powi(price), 2f64.powi(usd));
        let snapshots = snapshots(&frames);
        let mut scaled = snapshots.clone();
        for snapshot in &mut scaled {
            snapshot.price = snapshot.price.map(|old| old * price);
            for cell in &mut snapshot.cells {
                (cell.low, cell.high, cell.usd) = (cell.low * price, cell.high * price, cell.usd * usd);
            }
        }
        for (a, b) in run(rules, &snapshots).iter().flatten().zip(run(rules, &scaled).iter().flatten()) {
            prop_assert_eq!((a.id, a.rank, a.price_low * price, a.usd * usd), (b.id, b.rank, b.price_low, b.usd));
        }
        Ok(())
    });
}

/// Price reflected about 100: the sides swap. Numbers are left aside, of equal births the lower one comes first.
#[test]
fn a_mirrored_heatmap_has_mirrored_pools() {
    check(6, 300, (frames(), rules()), |(frames, rules)| {
        let snapshots = snapshots(&frames);
        let mut mirrored = snapshots.clone();
        for snapshot in &mut mirrored {
            snapshot.price = snapshot.price.map(|price| 200.0 - price);
            for cell in &mut snapshot.cells {
                cell.side = if cell.side == Side::Long { Side::Short } else { Side::Long };
                (cell.low, cell.high) = (200.0 - cell.high, 200.0 - cell.low);
            }
            snapshot.sort();
        }
        for (pools, mirror) in run(rules, &snapshots).iter().zip(&run(rules, &mirrored)) {
            prop_assert_eq!(pools.len(), mirror.len());
            for (a, b) in pools.iter().zip(mirror.iter().rev()) {
                prop_assert_eq!((a.price_low, a.price_high), (200.0 - b.price_high, 200.0 - b.price_low));
                prop_assert_eq!((a.peak_price, a.rank), (200.0 - b.peak_price, b.rank));
            }
        }
        Ok(())
    });
}

// ── The same wall, whatever the step ────────────────────────────────────────────────────────────────────────────────

/// A wall that stands all the time.
#[derive(Debug, Clone)]
struct Wall {
    side: Side,
    /// Cells from the one that is next to all prices on.
    from: usize,
    /// Cells by which it moves outward in four hours, fewer than it has.
    drift: usize,
    width: usize,
    usd: f64,
}

fn walls() -> impl Strategy<Value = Vec<Wall>> {
    let wall = (2usize..8, 3usize..7, 0usize..3, 20.0..60.0f64, proptest::bool::ANY);
    vec(wall, 1..6).prop_map(|walls| {
        let mut next = [1, 1];
        walls
            .into_iter()
            .map(|(gap, width, drift, usd, is_long)| {
                let side = if is_long { Side::Long } else { Side::Short };
                let from = next[usize::from(is_long)] + gap;
                // Room for its own way and for a cell between it and the next.
                next[usize::from(is_long)] = from + width + 2 + 2 * drift;
                Wall { side, from, drift, width, usd }
            })
            .collect()
    })
}

/// With walls that stand all the time, drift and change in size, price that moves between them, and clutter that comes
/// and goes beside them, two instants say the same of what is one pool, whether there is a frame an hour or one in four.
#[test]
fn the_step_does_not_matter_to_a_wall_that_stands() {
    const HOURS: usize = 49;
    let noise = vec(vec(0.9..1.1f64, 64), HOURS);
    let prices = vec(95.0..105.0f64, HOURS);
    let clutter = vec((0..HOURS, 1..30usize, 0..90usize, proptest::bool::ANY), 0..40);
    check(7, 300, (walls(), noise, prices, clutter), |(walls, noise, prices, clutter)| {
        let place = |side: Side, cell: usize| match side {
            Side::Long => 94.0 - cell as f64,
            Side::Short => 105.0 + cell as f64,
        };
        // A wall drifts for 8 hours and then stands: at most two times its drift.
        let moved = |wall: &Wall, hour: usize| wall.from + wall.drift * hour.min(8) / 4;
        let at = |hour: usize| {
            let mut cells: BTreeMap<(Side, i64), f64> = BTreeMap::new();
            for side in Side::BOTH {
                for cell in 0..93 {
                    cells.insert((side, place(side, cell) as i64), 1.0);
                }
            }
            for (from, hours, cell, is_long) in &clutter {
                let side = if *is_long { Side::Long } else { Side::Short };
                let beside = walls.iter().any(|wall| {
                    wall.side == side && (wall.from <= cell + 1 && *cell <= wall.from + wall.width + 2 * wall.drift)
                });
                if !beside && (*from..from + hours).contains(&hour) {
                    cells.insert((side, place(side, *cell) as i64), 30.0);
                }
            }
            for (w, wall) in walls.iter().enumerate() {
                for cell in 0..wall.width {
                    let usd = wall.usd * noise[hour][(w * 11 + cell) % 64];
                    cells.insert((wall.side, place(wall.side, moved(wall, hour) + cell) as i64), usd);
                }
            }
            let cell = |((side, low), usd): ((Side, i64), f64)| {
                let low = low as f64;
                PriceCell { side, leverage: None, low, high: low + 1.0, usd }
            };
            Snapshot { ts: hour as i64 * HOUR, price: Some(prices[hour]), cells: cells.into_iter().map(cell).collect() }
        };
        let rules = PoolRules { threshold: 0.85, valley: 0.8, memory: 24 * HOUR };
        let ids = |step: usize| -> Vec<Vec<i64>> {
            let mut pools = Pools::new(rules);
            let mut answer = Vec::new();
            for hour in (0..HOURS).step_by(step) {
                let found = pools.frame(&at(hour)).to_vec();
                if hour % 4 == 0 {
                    let of_wall = |wall: &Wall| {
                        let middle = place(wall.side, moved(wall, hour) + wall.width / 2) + 0.5;
                        let holds = |pool: &&Pool| {
                            pool.side == wall.side && pool.price_low < middle && middle < pool.price_high
                        };
                        found.iter().find(holds).map_or(0, |pool| pool.id)
                    };
                    answer.push(walls.iter().map(of_wall).collect());
                }
            }
            answer
        };
        let (hourly, in_four) = (ids(1), ids(4));
        for numbers in [&hourly, &in_four] {
            prop_assert!(numbers.iter().all(|of_walls| of_walls == &numbers[0]), "{:?}", numbers);
            prop_assert_eq!(numbers[0].iter().collect::<BTreeSet<_>>().len(), walls.len());
            prop_assert!(!numbers[0].contains(&0));
        }
        Ok(())
    });
}

// ── In SQL ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Registers rows as a table of some partitions, or of one that is known to be sorted by key.
fn register(context: &SessionContext, name: &str, batches: &[RecordBatch], partitions: usize, by_key: bool) {
    let schema = batches[0].schema();
    let parts = (0..partitions).map(|part| batches.iter().skip(part).step_by(partitions).cloned().collect()).collect();
    let mut table = MemTable::try_new(schema, parts).unwrap();
    if by_key {
        table =
            table.with_sort_order(vec![["exchange", "symbol", "ts"].map(|name| col(name).sort(true, false)).to_vec()]);
    }
    context.register_table(name, Arc::new(table)).unwrap();
}

/// Two days of the heatmaps of the sample, and its candles of four, in an order.
async fn sample(order: &'static str) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
    let context = session(fixed_config().with_target_partitions(1).with_batch_size(1000)).await;
    let rows = |sql: &'static str| {
        let context = context.clone();
        async move { context.sql(&format!("{sql} ORDER BY {order}")).await.unwrap().collect().await.unwrap() }
    };
    let heat = rows(
        "SELECT * FROM liq_heatmap(liq_bars((SELECT * FROM candles WHERE ts < TIMESTAMP '2026-01-05'), \
         open_interest => open_interest), max_distance => 0.05) WHERE ts >= TIMESTAMP '2026-01-03'",
    );
    let bars = rows("SELECT * FROM candles WHERE ts < TIMESTAMP '2026-01-05'");
    (heat.await, bars.await)
}

const ORDERED: &str = "ORDER BY exchange, symbol, ts, side, price_low";
const CALL: &str = "SELECT * FROM liq_pools(heat, bars => bars)";

#[test]
fn batches_partitions_and_order_of_arrival_do_not_matter() {
    with_large_stack(|| async {
        let by_time = sample("ts").await;
        let by_key = sample("exchange, symbol, ts").await;
        let mut expected: Option<Vec<Vec<String>>> = None;
        for (batch_size, partitions, sorted) in [
            (8192, 1, false),
            (8192, 2, false),
            (100, 5, false),
            (7, 1, false),
            (1, 2, false),
            (8192, 1, true),
            (3, 1, true),
            (9, 3, true),
        ] {
            let context = session(fixed_config().with_batch_size(batch_size).with_target_partitions(partitions)).await;
            let (heat, bars) = if sorted { &by_key } else { &by_time };
            register(&context, "heat", heat, if sorted { 1 } else { partitions }, sorted);
            register(&context, "bars", bars, if sorted { 1 } else { partitions }, sorted);
            let case = format!("{batch_size} rows, {partitions} partitions, by key: {sorted}");
            let plan = query(&context, &format!("EXPLAIN FORMAT INDENT {CALL}")).await.concat().concat();
            assert_eq!(!plan.contains("SortExec"), sorted, "{case}: {plan}");
            let found = query(&context, &format!("SELECT * FROM ({CALL}) {ORDERED}")).await;
            let expected = expected.get_or_insert_with(|| found.clone());
            let differs = expected.iter().zip(&found).find(|(a, b)| a != b);
            assert!(differs.is_none(), "{case}: {differs:?}");
            assert_eq!(found.len(), expected.len(), "{case}");
        }
        let rows = expected.unwrap();
        assert!(rows.len() > 2000 && rows.iter().any(|row| row[15] == "24h"));
        assert!(rows.iter().map(|row| (&row[2], &row[3])).collect::<BTreeSet<_>>().len() > 2);
    });
}

#[test]
fn predicates_choose_rows_and_change_none() {
    with_large_stack(|| async {
        let (heat, bars) = sample("ts").await;
        let context = session(fixed_config()).await;
        register(&context, "heat", &heat, 1, false);
        register(&context, "bars", &bars, 1, false);
        let whole = query(&context, &format!("{CALL} {ORDERED}")).await;
        type Keep = fn(&[String]) -> bool;
        let cases: [(&str, Keep); 5] = [
            ("ts >= TIMESTAMP '2026-01-04'", |row| row[1].as_str() >= "2026-01-04T00:00:00Z"),
            ("ts < TIMESTAMP '2026-01-04'", |row| row[1].as_str() < "2026-01-04T00:00:00Z"),
            ("ts = TIMESTAMP '2026-01-04 12:00:00' AND symbol = 'BTCUSDT'", |row| {
                row[1] == "2026-01-04T12:00:00Z" && row[3] == "BTCUSDT"
            }),
            ("rank = 1 AND side = 'short'", |row| row[11] == "1" && row[4] == "short"),
            ("born_ts = ts", |row| row[14] == row[1]),
        ];
        for (predicate, keep) in cases {
            let expected: Vec<_> = whole.iter().filter(|row| keep(row.as_slice())).cloned().collect();
            assert!(!expected.is_empty(), "{predicate}");
            assert!(query(&context, &format!("{CALL} WHERE {predicate} {ORDERED}")).await == expected, "{predicate}");
        }
        let count = query(&context, &format!("SELECT count(*) FROM ({CALL})")).await;
        assert_eq!(count[0][0], whole.len().to_string());
        // A share that hides pools changes nothing of the others.
        let sql = format!("SELECT * FROM liq_pools(heat, bars => bars, min_share => 0.05) {ORDERED}");
        let shown = query(&context, &sql).await;
        let large: Vec<_> = whole.iter().filter(|row| row[10].parse::<f64>().unwrap() >= 0.05).cloned().collect();
        assert!(shown == large && shown.len() < whole.len());
    });
}

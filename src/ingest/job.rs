//! One ingest: files through a reader and a spool to a root, and what became of their rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::plausible::Guard;
use super::reading::{BadRows, Out, Reader, Settings, Sink};
use super::scratch::{Hold, missing_above, remove_empty};
use super::source::each_source;
use super::spool::{KeySummary, Place, Spool, each_batch, path_of};
use super::trigger::{Rates, Tier, Tiers};
use crate::error::{Error, Result};
use crate::market::tables::LEVERAGE_TIERS;
use std::collections::BTreeMap;

/// What is to be done.
#[derive(Debug)]
pub struct Job<'a> {
    /// How the files are read.
    pub reader: &'static Reader,
    /// The files, in the order in which they are read; of rows of one instant the last one stays.
    pub files: &'a [PathBuf],
    /// What the user says beside them.
    pub settings: Settings,
    /// What happens to rows that cannot be used.
    pub bad_rows: BadRows,
    /// Whether everything is done but putting files in place.
    pub dry_run: bool,
    /// A folder on the file system of the root for what is under way; it is made, and removed.
    pub scratch: PathBuf,
    /// How far it is.
    pub progress: Arc<Progress>,
}

/// How far the reading of files is, seen from outside, and whether anyone still wants it.
#[derive(Default)]
pub struct Progress {
    bytes: AtomicU64,
    is_given_up: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Progress {
    /// Makes one that ends the work, with an error, once this says so.
    pub fn until(is_given_up: impl Fn() -> bool + Send + Sync + 'static) -> Progress {
        Progress { bytes: AtomicU64::new(0), is_given_up: Some(Box::new(is_given_up)) }
    }

    /// Packed bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes bytes that were read, and says whether to go on.
    pub(super) fn note(&self, bytes: u64) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.is_given_up.as_ref().is_none_or(|is_given_up| !is_given_up())
    }
}

/// What became of the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Per exchange and symbol.
    pub keys: BTreeMap<(String, String), KeySummary>,
    /// Rows left out because they could not be used.
    pub bad_rows: u64,
    /// The first of them, with file and line.
    pub first_bad: Option<String>,
}

impl Job<'_> {
    /// Does it. Nothing is put in place before every file has been read.
    ///
    /// # Errors
    ///
    /// A file cannot be read, a row cannot be used and bad rows are errors, or the root cannot be read or written.
    pub fn run(self, place: &dyn Place) -> Result<Summary> {
        let mut spool = Spool::new(self.reader.table, self.scratch.clone())?;
        let mut summary = Summary::default();
        let guard = if self.settings.trust { Guard::Trust } else { Guard::Refuse };
        let load = |exchange: &str, symbol: &str| tiers_of(place, &self.scratch, exchange, symbol);
        let rates = Rates::new(self.settings.tiers.as_ref(), load);
        for file in self.files {
            let mut rows = 0;
            {
                let sink: &mut dyn Sink = &mut spool;
                let mut out = Out::new(self.reader.table, self.bad_rows, sink).with(guard, &rates);
                each_source(file, &self.progress, &mut |source| {
                    out.begin(&source.name);
                    (self.reader.read)(source, &self.settings, &mut out)
                })?;
                rows += out.rows;
                summary.bad_rows += out.bad;
                summary.first_bad = summary.first_bad.take().or(out.first_bad.take());
            }
            if rows == 0 && summary.bad_rows == 0 {
                return Err(Error::new(format!("{}: holds no row of {}", file.display(), self.reader.table.name)));
            }
            spool.next_source();
        }
        summary.keys = spool.finish(place, guard, self.dry_run)?;
        Ok(summary)
    }
}

/// The margin brackets that a root has of a symbol.
fn tiers_of(place: &dyn Place, scratch: &Path, exchange: &str, symbol: &str) -> Result<Vec<Tier>> {
    let path = path_of(&LEVERAGE_TIERS, exchange, symbol, "");
    let into = scratch.join(format!("tiers-{exchange}-{symbol}.parquet"));
    let Some(file) = place.fetch(&path, &into)? else { return Ok(Vec::new()) };
    let mut tiers = Vec::new();
    each_batch(&file, None, None, |batch| {
        tiers.extend(Tiers::of_rows(&batch)?);
        Ok(())
    })?;
    Ok(tiers)
}

/// A root in a folder of this machine.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is.
    pub root: PathBuf,
}

impl Folder {
    /// A new name for a folder of what is under way, which no reader of the root looks into.
    pub fn scratch(&self) -> PathBuf {
        static MADE: AtomicU64 = AtomicU64::new(0);
        self.root.join(format!(".ingest-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Place for Folder {
    fn fetch(&self, path: &str, _into: &Path) -> Result<Option<PathBuf>> {
        let path = self.root.join(path);
        match fs::metadata(&path) {
            Ok(_) => Ok(Some(path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::because(path.display().to_string(), error)),
        }
    }

    fn put(&self, file: &Path, path: &str) -> Result<()> {
        let path = self.root.join(path);
        let made = missing_above(&path);
        let put = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // Whole on disk before it has its name.
            fs::File::open(file)?.sync_all()?;
            fs::rename(file, &path)
        };
        put().map_err(|error| {
            remove_empty(&made);
            Error::because(format!("writing {}", path.display()), error)
        })
    }

    fn beside(&self, path: &str) -> Option<PathBuf> {
        let path = self.root.join(path);
        path.is_file().then_some(path)
    }

    fn hold(&self) -> Result<Hold> {
        Hold::of(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use arrow::array::{AsArray, RecordBatch};
    use arrow::datatypes::{Float64Type, TimestampMillisecondType};
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::readers;

    fn reader(exchange: &str, kind: &str) -> &'static Reader {
        readers().find(|reader| reader.exchange == exchange && reader.kind == kind).unwrap()
    }

    fn ingest(root: &Path, kind: &str, files: &[PathBuf]) -> Result<Summary> {
        ingest_with(root, kind, files, BadRows::Error, Settings::default())
    }

    fn ingest_with(
        root: &Path,
        kind: &str,
        files: &[PathBuf],
        bad_rows: BadRows,
        settings: Settings,
    ) -> Result<Summary> {
        let folder = Folder { root: root.to_owned() };
        let (scratch, progress) = (folder.scratch(), Arc::default());
        let reader = reader("binance", kind);
        Job { reader, files, settings, bad_rows, dry_run: false, scratch, progress }.run(&folder)
    }

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn read(path: &Path) -> RecordBatch {
        let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
        let schema = Arc::clone(builder.schema());
        let batches: Vec<RecordBatch> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }

    fn times(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<TimestampMillisecondType>().values().to_vec()
    }

    fn numbers(batch: &RecordBatch, name: &str) -> Vec<f64> {
        batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec()
    }

    /// Every file below a root.
    fn files_of(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// 2026-01-01 00:00 UTC.
    const START: i64 = 1_767_225_600_000;

    fn kline(ts: i64, close: f64) -> String {
        format!("{ts},{close},{close},{close},{close},10,{},100,5,4,40,0\n", ts + 59_999)
    }

    #[test]
    fn candles_of_two_months_and_years_merge_and_repeating_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        // December ends in the new year by one minute that January has, too, with another close.
        let december: String = (-2..1).map(|minute| kline(START + minute * 60_000, 100.0)).collect();
        let january: String = (0..3).chain(4..6).map(|minute| kline(START + minute * 60_000, 101.0)).collect();
        let files = [
            file(folder.path(), "BTCUSDT-1m-2025-12.csv", &december),
            file(
                folder.path(),
                "BTCUSDT-1m-2026-01.csv",
                &format!(
                    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n{january}"
                ),
            ),
        ];
        let summary = ingest(&root, "klines", &files).unwrap();
        let layout = "candles/exchange=binance/symbol=BTCUSDT";
        assert_eq!(
            files_of(&root),
            [format!("{layout}/year=2025/part.parquet"), format!("{layout}/year=2026/part.parquet")]
        );
        let key = ("binance".to_owned(), "BTCUSDT".to_owned());
        let of_key = &summary.keys[&key];
        assert_eq!((of_key.rows_in, of_key.rows_out, of_key.replaced, of_key.duplicates), (8, 7, 1, 0));
        assert_eq!((of_key.gaps, of_key.longest_gap), (1, Some((START + 120_000, START + 240_000))));
        assert_eq!(of_key.range, Some((START - 120_000, START + 300_000)));
        assert_eq!(of_key.prices, Some((100.0, 101.0)));
        let path = root.join(format!("{layout}/year=2026/part.parquet"));
        let batch = read(&path);
        assert_eq!(numbers(&batch, "close"), [101.0; 5]);
        assert_eq!((numbers(&batch, "volume"), numbers(&batch, "taker_buy_volume")), (vec![10.0; 5], vec![4.0; 5]));

        let before = fs::read(&path).unwrap();
        let again = ingest(&root, "klines", &files[1..]).unwrap();
        assert_eq!((again.keys[&key].duplicates, again.keys[&key].files), (5, 0));
        assert_eq!(fs::read(&path).unwrap(), before);

        // What was missing is appended where it belongs.
        let missing = file(folder.path(), "BTCUSDT-1m-2026-01-01.csv", &kline(START + 180_000, 102.0));
        let summary = ingest(&root, "klines", &[missing]).unwrap();
        assert_eq!((summary.keys[&key].gaps, summary.keys[&key].rows_out), (0, 6));
        assert!(times(&read(&path)).is_sorted());
    }

    #[test]
    fn trades_are_kept_by_day_and_equal_ones_are_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        // Two different trades that are equal but for their id, and one line that stands twice.
        let text = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n\
            1,100.5,2,1,1,1767225600000,true\n2,100.5,2,2,2,1767225600000,true\n2,100.5,2,2,2,1767225600000,true\n\
            3,101,0.5,3,3,1767312000000,false\n";
        let files = [file(folder.path(), "BTCUSDT-aggTrades-2026-01.csv", text)];
        let summary = ingest(&root, "aggTrades", &files).unwrap();
        let key = ("binance".to_owned(), "BTCUSDT".to_owned());
        assert_eq!((summary.keys[&key].duplicates, summary.keys[&key].rows_out), (1, 3));
        let day = |day: &str| root.join(format!("trades/exchange=binance/symbol=BTCUSDT/date={day}/part.parquet"));
        let first = read(&day("2026-01-01"));
        assert_eq!(numbers(&first, "price"), [100.5, 100.5]);
        assert_eq!(first.column_by_name("side").unwrap().as_string_view().value(0), "sell");
        assert_eq!(read(&day("2026-01-02")).num_rows(), 1);
        // The same trades from another file: as many as before.
        let other = file(folder.path(), "BTCUSDT-aggTrades-2026-01-01.csv", text);
        ingest(&root, "aggTrades", &[other]).unwrap();
        assert_eq!(read(&day("2026-01-01")).num_rows(), 2);
    }

    #[test]
    fn a_bad_row_ends_it_with_its_place_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let text = format!("{}{}{}", kline(START, 100.0), kline(START + 60_000, -1.0), kline(START + 120_000, 100.0));
        let files = [file(folder.path(), "BTCUSDT-1m-2026-01.csv", &text)];
        let error = ingest(&root, "klines", &files).unwrap_err().to_string();
        assert!(error.contains("BTCUSDT-1m-2026-01.csv:2: 'open' must be a positive number, was '-1'"), "{error}");
        assert!(!root.exists(), "nothing that was not there before");
        let summary = ingest_with(&root, "klines", &files, BadRows::Skip, Settings::default()).unwrap();
        assert_eq!(summary.bad_rows, 1);
        assert!(summary.first_bad.unwrap().contains(":2: 'open'"));
    }

    #[test]
    fn the_symbol_comes_from_the_name_or_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let files = [file(folder.path(), "mine.csv", &kline(START, 100.0))];
        let error = ingest(&root, "klines", &files).unwrap_err().to_string();
        assert!(error.contains("say --symbol"), "{error}");
        let said = Settings { symbol: Some("ETHUSDT".to_owned()), ..Settings::default() };
        ingest_with(&root, "klines", &files, BadRows::Error, said.clone()).unwrap();
        assert_eq!(files_of(&root), ["candles/exchange=binance/symbol=ETHUSDT/year=2026/part.parquet"]);
        let named = [file(folder.path(), "BTCUSDT-1m-2026-01.csv", &kline(START, 100.0))];
        let error = ingest_with(&root, "klines", &named, BadRows::Error, said).unwrap_err().to_string();
        assert!(error.contains("the file is named for BTCUSDT, --symbol says ETHUSDT"), "{error}");
    }

    #[test]
    fn forced_orders_become_positions_and_triggers() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let raw = r#"{"e":"forceOrder","E":1767225600461,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910","ap":"9950","X":"FILLED","l":"0.014","z":"0.014","T":1767225600460}}"#;
        let wrapped = format!(r#"{{"stream":"!forceOrder@arr","data":{}}}"#, raw.replace("SELL", "BUY"));
        let files = [file(folder.path(), "stream.jsonl", &format!("{raw}\n{raw}\n{wrapped}\n"))];
        let summary = ingest(&root, "forceOrder", &files).unwrap();
        assert_eq!(summary.keys.values().next().unwrap().duplicates, 1);
        let batch = read(&root.join("liquidations/exchange=binance/symbol=BTCUSDT/date=2026-01-01/part.parquet"));
        let sides = batch.column_by_name("side").unwrap().as_string_view();
        assert_eq!((sides.value(0), sides.value(1)), ("long", "short"));
        let trigger = numbers(&batch, "price");
        assert!(
            (trigger[0] - 9910.0 / 0.996).abs() < 1e-9 && (trigger[1] - 9910.0 / 1.004).abs() < 1e-9,
            "{trigger:?}"
        );
        assert_eq!(numbers(&batch, "bankruptcy_price"), [9910.0; 2]);
        assert_eq!(
            (numbers(&batch, "size"), numbers(&batch, "notional_usd")),
            (vec![0.014; 2], vec![0.014 * 9950.0; 2])
        );
        // The archive's own row of a COIN-M order: contracts of 100 USD.
        let text = "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,\
            accumulated_fill_quantity\n1727740869082,BUY,LIMIT,IOC,7,63661.4,63425.1,FILLED,7,7\n1727740869082,BUY,LIMIT,IOC,7,63661.4,63425.1,FILLED,7,7\n";
        let files = [file(folder.path(), "BTCUSD_PERP-liquidationSnapshot-2024-10-01.csv", text)];
        let summary = ingest(&root, "liquidationSnapshot", &files).unwrap();
        let key = ("binance".to_owned(), "BTCUSD".to_owned());
        assert_eq!((summary.keys[&key].duplicates, summary.keys[&key].rows_out), (1, 1));
        let batch = read(&root.join("liquidations/exchange=binance/symbol=BTCUSD/date=2024-10-01/part.parquet"));
        assert_eq!(numbers(&batch, "notional_usd"), [700.0]);
        assert!((numbers(&batch, "size")[0] - 700.0 / 63425.1).abs() < 1e-12);
        assert!((numbers(&batch, "price")[0] - 63661.4 * 0.996).abs() < 1e-9);
    }

    #[test]
    fn a_cut_archive_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let text: String = (0..20_000).map(|minute| kline(START + minute * 60_000, 100.0 + minute as f64)).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        let path = folder.path().join("BTCUSDT-1m-2026-01.csv.gz");
        fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        assert!(ingest(&root, "klines", &[path]).is_err());
        assert!(!root.exists());
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let files: Vec<PathBuf> = (0..6)
            .map(|part| {
                let lines = (0..50).map(|minute| kline(START + (part * 40 + minute) * 60_000, 100.0));
                file(folder.path(), &format!("BTCUSDT-1m-{part}.csv"), &lines.collect::<String>())
            })
            .collect();
        std::thread::scope(|scope| {
            for file in &files {
                scope.spawn(|| ingest(&root, "klines", std::slice::from_ref(file)).unwrap());
            }
        });
        let path = root.join("candles/exchange=binance/symbol=BTCUSDT/year=2026/part.parquet");
        assert_eq!(times(&read(&path)).len(), 250);
        assert_eq!(files_of(&root).len(), 1, "{:?}", files_of(&root));
    }

    #[test]
    fn a_dry_run_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = Folder { root: folder.path().join("a/root") };
        let files = [file(folder.path(), "BTCUSDT-1m-2026-01.csv", &kline(START, 100.0))];
        let job = Job {
            reader: reader("binance", "klines"),
            files: &files,
            settings: Settings::default(),
            bad_rows: BadRows::Error,
            dry_run: true,
            scratch: place.scratch(),
            progress: Arc::default(),
        };
        assert_eq!(job.run(&place).unwrap().keys.len(), 1);
        assert!(!folder.path().join("a").exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever the order of rows and files: sorted, none lost, and doing it twice changes nothing.
        #[test]
        fn order_and_repetition_do_not_matter(minutes in proptest::collection::vec(0i64..400, 1..300), cut in 0usize..300) {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("root");
            let mut ids = 0;
            let lines: Vec<String> = minutes.iter().map(|minute| {
                ids += 1;
                format!("{ids},{},1,1,1,{},true\n", 100 + minute % 3, START - 200 * 60_000 + minute * 60_000)
            }).collect();
            let cut = cut.min(lines.len());
            let files = [
                file(folder.path(), "BTCUSDT-aggTrades-a.csv", &lines.concat()),
                file(folder.path(), "BTCUSDT-aggTrades-b.csv", &lines[..cut].concat()),
            ];
            let files = if cut == 0 { &files[..1] } else { &files[..] };
            ingest(&root, "aggTrades", files).unwrap();
            let mut found = Vec::new();
            for name in files_of(&root) {
                let batch = read(&root.join(&name));
                let ts = times(&batch);
                prop_assert!(ts.is_sorted(), "{}", name);
                found.extend(ts);
            }
            let mut expected: Vec<i64> = minutes.iter().map(|minute| START - 200 * 60_000 + minute * 60_000).collect();
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
            let before: Vec<Vec<u8>> = files_of(&root).iter().map(|name| fs::read(root.join(name)).unwrap()).collect();
            ingest(&root, "aggTrades", files).unwrap();
            let after: Vec<Vec<u8>> = files_of(&root).iter().map(|name| fs::read(root.join(name)).unwrap()).collect();
            prop_assert_eq!(before, after);
        }
    }
}

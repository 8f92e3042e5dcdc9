//! A file as it was downloaded to the bytes that are in it: `.zip`, `.gz` and `.lz4` are unpacked on the way.
//!
//! In: a path. Out: one [`Source`] per file in it, of which a zip archive may have several. The invariant: whoever reads
//! to the end has seen every byte that was packed. A packed file that was cut short, or whose checksum does not match, is
//! an error and not a short table.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use lz4_flex::frame::FrameDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};
use sha2::{Digest, Sha256};

use super::job::Progress;
use crate::error::{Error, Result};

/// Bytes that are unpacked at a time.
const CHUNK: usize = 256 * 1024;

/// The bytes of one file.
pub struct Source<'a> {
    /// What messages call it: the path, and the name within an archive.
    pub name: String,
    /// The file's own name without folders and without the endings of packing: `BTCUSDT-1m-2026-02.csv`.
    pub file: String,
    reader: Box<dyn BufRead + 'a>,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Source<'a> {
    /// Takes bytes that are in memory.
    pub fn of_bytes(name: &str, bytes: &'a [u8]) -> Source<'a> {
        Source { name: name.to_owned(), file: bare_name(name), reader: Box::new(bytes) }
    }

    /// Returns the bytes.
    pub fn reader(&mut self) -> &mut (dyn BufRead + 'a) {
        self.reader.as_mut()
    }

    /// Returns the next byte without taking it; `None` at the end.
    ///
    /// # Errors
    ///
    /// The file cannot be read or unpacked.
    pub fn peek(&mut self) -> Result<Option<u8>> {
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes.first().copied()),
            Err(error) => Err(Error::because(self.name.clone(), error)),
        }
    }
}

/// Counts the packed bytes that were read, for whoever shows how far the work is, and stops where it was given up.
struct Counted<R> {
    inner: R,
    progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.progress.note(read as u64) {
            true => Ok(read),
            false => Err(std::io::Error::other("the work was given up")),
        }
    }
}

/// Opens a file and hands over each file in it, in the order in which an archive lists them.
///
/// # Errors
///
/// The file cannot be opened or unpacked, a `.CHECKSUM` beside it says something else, or `each` fails.
pub fn each_source(
    path: &Path,
    progress: &Arc<Progress>,
    each: &mut dyn FnMut(&mut Source<'_>) -> Result<()>,
) -> Result<()> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| Error::because(name.clone(), error);
    verify_checksum(path)?;
    let file = File::open(path).map_err(failed)?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    if ending == "zip" {
        return each_entry(file, &name, progress, each);
    }
    let counted = BufReader::with_capacity(CHUNK, Counted { inner: file, progress: Arc::clone(progress) });
    let reader: Box<dyn BufRead> = match ending.as_str() {
        "gz" => Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(counted))),
        "lz4" => {
            let tail = Tail { inner: counted, last: Vec::new(), flags: None, head: Vec::new() };
            Box::new(BufReader::with_capacity(CHUNK, Lz4 { decoder: FrameDecoder::new(tail) }))
        }
        _ => Box::new(counted),
    };
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    each(&mut Source { name, file: bare_name(&file_name), reader })
}

/// Frames of lz4. The decoder takes the end of the file for the end of a frame; a file that ends without the mark of four
/// zero bytes (and a checksum, if the frame says so) was cut short.
struct Lz4<R: Read> {
    decoder: FrameDecoder<Tail<R>>,
}

/// The last bytes that were read, and how many frames' flags ask for a checksum at the end.
struct Tail<R> {
    inner: R,
    last: Vec<u8>,
    /// The byte of the first frame's header in which it says whether a checksum of the content follows.
    flags: Option<u8>,
    head: Vec<u8>,
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = &buffer[..read];
        if self.head.len() < 5 {
            self.head.extend(bytes.iter().take(5 - self.head.len()));
            self.flags = self.head.get(4).copied();
        }
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(8)..]);
        self.last.drain(..self.last.len().saturating_sub(8));
        Ok(read)
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let tail = self.decoder.get_ref();
            let has_checksum = tail.flags.is_some_and(|flags| flags & 0b100 != 0);
            let mark = tail.last.len().checked_sub(if has_checksum { 8 } else { 4 });
            let is_whole = mark.and_then(|at| tail.last.get(at..at + 4)).is_some_and(|mark| mark == [0; 4]);
            if !is_whole {
                return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the lz4 frame was cut short"));
            }
        }
        Ok(read)
    }
}

fn each_entry(
    file: File,
    name: &str,
    progress: &Arc<Progress>,
    each: &mut dyn FnMut(&mut Source<'_>) -> Result<()>,
) -> Result<()> {
    let failed = |error: rawzip::Error| Error::because(format!("{name}: not a whole zip archive"), error);
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(failed)?;
    let mut entries = archive.entries(&mut buffer);
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().map_err(failed)? {
        let path = entry.file_path().try_normalize().map_err(failed)?.as_ref().to_owned();
        if !entry.is_dir() && !path.starts_with("__MACOSX") {
            found.push((path, entry.compression_method(), entry.wayfinder()));
        }
    }
    for (path, method, wayfinder) in found {
        let inner = format!("{name} > {path}");
        let entry = archive.get_entry(wayfinder).map_err(failed)?;
        let packed = Counted { inner: entry.reader(), progress: Arc::clone(progress) };
        let unpacked: Box<dyn Read> = match method {
            CompressionMethod::STORE => Box::new(packed),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(packed)),
            other => return Err(Error::new(format!("{inner}: packed in a way that is not known ({other:?})"))),
        };
        let verified = entry.verifying_reader(unpacked);
        let reader = Box::new(BufReader::with_capacity(CHUNK, verified));
        let file = bare_name(path.rsplit('/').next().unwrap_or(&path));
        each(&mut Source { name: inner, file, reader })?;
    }
    Ok(())
}

/// A file's name without the endings of packing.
fn bare_name(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = [".zip", ".gz", ".lz4"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    name.to_owned()
}

/// Compares a file with the `.CHECKSUM` that lies beside it, as Binance publishes them; without one nothing is said.
fn verify_checksum(path: &Path) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".CHECKSUM");
    let beside = PathBuf::from(beside);
    let text = match std::fs::read_to_string(&beside) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::because(beside.display().to_string(), error)),
    };
    let Some(expected) = text.split_whitespace().next().filter(|word| word.len() == 64) else {
        return Err(Error::new(format!("{}: does not begin with a SHA-256 of 64 digits", beside.display())));
    };
    let failed = |error: std::io::Error| Error::because(path.display().to_string(), error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Error::new(format!(
        "{}: its SHA-256 is {found}, '{}' says {expected}: the file is damaged, download it again",
        path.display(),
        beside.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn text_of(path: &Path) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        each_source(path, &Arc::default(), &mut |source| {
            let mut text = String::new();
            let name = source.name.clone();
            source.reader().read_to_string(&mut text).map_err(|error| Error::because(name, error))?;
            found.push((source.file.clone(), text));
            Ok(())
        })?;
        Ok(found)
    }

    fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
        for (name, bytes) in entries {
            let (mut entry, config) =
                archive.new_file(name).compression_method(CompressionMethod::DEFLATE).start().unwrap();
            let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
            let mut writer = config.wrap(encoder);
            writer.write_all(bytes).unwrap();
            let (_, descriptor) = writer.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
        out
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Enough that a cut is in the middle of it.
    fn long() -> Vec<u8> {
        (0..50_000)
            .flat_map(|number: u32| format!("{},{}\n", number, number.wrapping_mul(2_654_435_761)).into_bytes())
            .collect()
    }

    #[test]
    fn every_packing_gives_the_same_bytes() {
        let bytes = long();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let all = [
            ("a.csv", bytes.clone()),
            ("a.csv.gz", gzipped(&bytes)),
            ("a.csv.lz4", lz4(&bytes)),
            ("a.zip", zipped(&[("folder/a.csv", &bytes)])),
        ];
        for (name, packed_bytes) in all {
            let (_folder, path) = packed(name, &packed_bytes);
            assert_eq!(text_of(&path).unwrap(), [("a.csv".to_owned(), text.clone())], "{name}");
        }
        // Two members of one gzip file are one text.
        let (_folder, path) = packed("b.gz", &[gzipped(b"one,"), gzipped(b"two")].concat());
        assert_eq!(text_of(&path).unwrap()[0].1, "one,two");
        let (_folder, path) = packed("b.zip", &zipped(&[("a.csv", b"1"), ("b.csv", b"2")]));
        assert_eq!(text_of(&path).unwrap().len(), 2);
    }

    #[test]
    fn what_was_cut_short_is_an_error() {
        let bytes = long();
        for (name, packed_bytes) in
            [("a.csv.gz", gzipped(&bytes)), ("a.csv.lz4", lz4(&bytes)), ("a.zip", zipped(&[("a.csv", &bytes)]))]
        {
            for cut in [packed_bytes.len() - 1, packed_bytes.len() - 5, packed_bytes.len() / 2, 30] {
                let (_folder, path) = packed(name, &packed_bytes[..cut]);
                assert!(text_of(&path).is_err(), "{name} cut at {cut} of {}", packed_bytes.len());
            }
            // lz4 frames as they are published have no checksum of their content.
            if name.ends_with(".lz4") {
                continue;
            }
            let mut flipped = packed_bytes.clone();
            flipped[packed_bytes.len() / 2] ^= 0x10;
            let (_folder, path) = packed(name, &flipped);
            assert!(text_of(&path).is_err(), "{name} with a flipped bit");
        }
    }

    #[test]
    fn a_checksum_beside_is_heeded() {
        let (folder, path) = packed("a.csv", b"abc");
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.csv\n";
        std::fs::write(folder.path().join("a.csv.CHECKSUM"), right).unwrap();
        assert_eq!(text_of(&path).unwrap()[0].1, "abc");
        std::fs::write(folder.path().join("a.csv.CHECKSUM"), right.replace("ba78", "ca78")).unwrap();
        let error = text_of(&path).unwrap_err().to_string();
        assert!(error.contains("the file is damaged"), "{error}");
        std::fs::write(folder.path().join("a.csv.CHECKSUM"), "nothing").unwrap();
        assert!(text_of(&path).unwrap_err().to_string().contains("SHA-256 of 64 digits"));
    }
}

//! Who may write where: a folder for what is under way, and a root into which one ingest at a time puts files.
//!
//! Both are kept by locks of the operating system, which end with their process however it ends, so nothing has to be
//! guessed from the age of a file or the number of a process. A folder that an ingest left behind because it was killed is
//! removed by the next one beside it. On a file system without locks, nothing is removed and nothing waits.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The file in a folder of what is under way that its ingest keeps locked.
const LOCK: &str = ".liqsql-ingest.lock";

/// How often a folder is made anew that another ingest took for one that was left behind.
const ATTEMPTS: usize = 8;

/// A folder for what is under way, removed in the end together with what had to be made above it and is empty.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    lock: Option<File>,
    /// Folders above it that were not there before, the deepest first.
    made: Vec<PathBuf>,
}

impl Scratch {
    /// Makes the folder, and removes those beside it that were left behind: of the same name but for digits at the end.
    pub(super) fn make(path: PathBuf) -> Result<Scratch> {
        let failed = |error: std::io::Error| Error::because(format!("making {}", path.display()), error);
        let made = missing_above(&path);
        let mut scratch = Scratch { path: path.clone(), lock: None, made };
        for _ in 0..ATTEMPTS {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
                remove_left_behind(folder, &path);
            }
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    // Not to be removed: it is someone else's.
                    scratch.path = PathBuf::new();
                    let message = format!("'{}' is there already: is it another ingest's?", path.display());
                    return Err(Error::new(message));
                }
                // What was made above it was empty, and removed with an ingest that failed.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            }
            let lock = match File::create(path.join(LOCK)) {
                Ok(lock) => lock,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            // Without locks nobody removes it but its ingest.
            scratch.lock = lock.lock().is_ok().then_some(lock);
            // Between the two steps another ingest may have removed it as one that was left behind.
            if path.join(LOCK).exists() {
                return Ok(scratch);
            }
        }
        Err(Error::new(format!("making {}: another process keeps removing it", path.display())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // No reader of a root looks into it; what cannot be removed does no harm.
        self.lock = None;
        if !self.path.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.path);
        }
        remove_empty(&self.made);
    }
}

/// The folders above a path that are not there, the deepest first.
pub(super) fn missing_above(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty());
    above.take_while(|folder| !folder.exists()).map(Path::to_owned).collect()
}

/// Removes folders that are empty, the deepest first.
pub(super) fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        // That it is not empty, or gone, is no fault.
        let _ = fs::remove_dir(folder);
    }
}

/// Removes folders beside one that are named like it and that no process uses.
fn remove_left_behind(folder: &Path, path: &Path) {
    let stem = |name: &str| name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-').to_owned();
    let Some(ours) = path.file_name().and_then(|name| name.to_str()).map(stem) else { return };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let is_alike = entry.file_name().to_str().is_some_and(|name| stem(name) == ours);
        let left = entry.path();
        if !is_alike || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match File::open(left.join(LOCK)) {
            Ok(lock) if lock.try_lock().is_ok() => {
                let _ = fs::remove_dir_all(&left);
            }
            // Another ingest is at work in it.
            Ok(_) => {}
            // Killed before it made the file, if it is empty.
            Err(_) => {
                let _ = fs::remove_dir(&left);
            }
        }
    }
}

/// The right to put files into a root, until it is dropped; whoever else wants it waits.
#[derive(Debug, Default)]
pub struct Hold {
    held: Option<(File, PathBuf)>,
}

/// The file that is locked while files are put into a root.
const HOLD: &str = ".ingest.lock";

impl Hold {
    /// Waits until no other ingest puts files into a root in this folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or written to.
    pub fn of(root: &Path) -> Result<Hold> {
        let path = root.join(HOLD);
        let failed = |error: std::io::Error| Error::because(format!("writing {}", path.display()), error);
        loop {
            fs::create_dir_all(root).map_err(failed)?;
            let file = match File::options().create(true).truncate(false).write(true).open(&path) {
                Ok(file) => file,
                // The folder was removed in between, with an ingest that put nothing into it.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            if file.lock().is_err() {
                // A file system without locks.
                return Ok(Hold { held: Some((file, path)) });
            }
            if is_still(&file, &path) {
                return Ok(Hold { held: Some((file, path)) });
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((file, path)) = self.held.take() {
            // While it is locked: whoever waits for it sees that it is gone, and makes another. Elsewhere than on Unix that
            // cannot be seen, and the file, which is empty, stays.
            if cfg!(unix) {
                let _ = fs::remove_file(&path);
            }
            drop(file);
        }
    }
}

/// Whether this is the file of that path, or one that was removed while someone waited for it.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |one: fs::Metadata, other: fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    file.metadata().and_then(|one| fs::metadata(path).map(|other| same(one, other))).unwrap_or(false)
}

#[cfg(not(unix))]
fn is_still(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_was_made_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/root");
        let scratch = Scratch::make(root.join(".ingest-1-0")).unwrap();
        fs::write(scratch.path().join("0.parquet"), "x").unwrap();
        drop(scratch);
        assert!(!folder.path().join("a").exists());
        // A root that was there stays, though it is empty, and so does one into which something was put.
        fs::create_dir_all(&root).unwrap();
        drop(Scratch::make(root.join(".ingest-1-0")).unwrap());
        assert!(root.is_dir() && fs::read_dir(&root).unwrap().next().is_none());
    }

    #[test]
    fn folders_that_were_left_behind_are_removed_and_those_in_use_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // As kill -9 leaves them: the lock ended with the process.
        for name in [".ingest-7", ".ingest-8-1", "ingest-9"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join(LOCK), "").unwrap();
            fs::write(at(name).join("0.parquet"), "x").unwrap();
        }
        fs::create_dir_all(at(".ingest-10")).unwrap();
        fs::create_dir_all(at(".ingest-11")).unwrap();
        fs::write(at(".ingest-11").join("mine"), "x").unwrap();
        let used = Scratch::make(at(".ingest-12-0")).unwrap();
        let other = Scratch::make(at(".ingest-12-1")).unwrap();
        for gone in [".ingest-7", ".ingest-8-1", ".ingest-10"] {
            assert!(!at(gone).exists(), "{gone}");
        }
        for kept in ["ingest-9", ".ingest-11", ".ingest-12-0", ".ingest-12-1"] {
            assert!(at(kept).exists(), "{kept}");
        }
        let error = Scratch::make(at(".ingest-12-0")).unwrap_err().to_string();
        assert!(error.contains("is it another ingest's?"), "{error}");
        assert!(used.path().join(LOCK).exists());
        drop((used, other));
        assert!(!at(".ingest-12-0").exists());
    }

    #[test]
    fn one_at_a_time_holds_a_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let hold = Hold::of(&root).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(hold);
                    }
                });
            }
        });
        assert!(!cfg!(unix) || fs::read_dir(&root).unwrap().next().is_none());
    }
}

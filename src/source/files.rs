//! Files, folders, patterns and standard input: once, or watched; resumed where they were.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use globset::GlobBuilder;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{Outcome, Payload, Position};
use crate::decode::{csv_header, cut, cut_rows, is_whole};
use crate::model::RecordHash;

/// How files are read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes read and handed over at a time.
    pub chunk: usize,
    /// Bytes of one document that cannot be cut between records.
    pub max_document: usize,
    /// Bytes under way at once: enough that one commit is prepared while another is written.
    pub under_way: usize,
    /// Time between two looks at watched files.
    pub every: Duration,
}

/// Files that cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("find `{pattern}`: there is no such file or folder")]
    Missing { pattern: String },
    #[error("understand the pattern `{pattern}`")]
    Pattern { pattern: String, source: globset::Error },
    #[error("read `{path}`")]
    Io { path: String, source: std::io::Error },
    #[error("take `{path}`: {says}")]
    NotTaken { path: String, says: String },
}

/// What one pass could not take: fragments that finish "failed to ...".
#[derive(Debug, Default)]
pub struct Report {
    pub failed: Vec<String>,
}

/// How far a pass is.
pub struct Progress<'p> {
    pub bytes: u64,
    pub total: u64,
    pub file: &'p str,
}

/// Where a file was left.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Left {
    offset: u64,
    /// Digest of the first bytes, by which a file replaced under the same name is noticed.
    head: String,
    head_bytes: u64,
    /// Digest of the last bytes before the offset, by which one written anew is.
    #[serde(default)]
    tail: String,
    /// When the file was changed last, in nanoseconds: the same size may hold something else.
    #[serde(default)]
    modified: i64,
}

const HEAD: u64 = 4096;
/// How a file of Avro records begins.
const AVRO: &[u8] = b"Obj\x01";
/// How much of a file tells whether it holds audit records.
const SNIFF: u64 = 64 << 10;
/// Payloads between two saved positions: to save one, all before it must be committed.
const SAVE_EVERY: usize = 128;

/// Ingests all that `patterns` name, once: records about the world first, audit records after them.
pub async fn ingest_once<C, P>(
    settings: &Settings,
    patterns: &[String],
    intake: mpsc::Sender<Payload>,
    is_audit: &C,
    positions: &P,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Report, FilesError>
where
    C: Fn(&[u8]) -> bool,
    P: Fn(&str) -> Option<String>,
{
    let mut report = Report::default();
    let mut files = Vec::new();
    for pattern in patterns.iter().filter(|p| *p != "-") {
        let mut errors = Vec::new();
        let found = list(pattern, &mut errors);
        if found.is_empty() && errors.is_empty() {
            errors.push(FilesError::Missing { pattern: pattern.clone() });
        }
        files.extend(found);
        report.failed.extend(errors.iter().map(says));
    }
    sort(&mut files, is_audit);
    let total = files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    let mut done = 0;
    for file in &files {
        let name = file.display().to_string();
        progress(Progress { bytes: done, total, file: &name });
        let base = done;
        let mut step = |bytes| progress(Progress { bytes: base + bytes, total, file: &name });
        if let Err(e) = take(settings, file, &intake, positions, true, &mut step).await {
            report.failed.push(says(&e));
        }
        done = base + file.metadata().map_or(0, |m| m.len());
    }
    if patterns.iter().any(|p| p == "-") {
        let mut stdin = std::io::stdin();
        let mut magic = Vec::new();
        let fail = |source| FilesError::Io { path: "standard input".to_owned(), source };
        std::io::Read::by_ref(&mut stdin).take(2).read_to_end(&mut magic).map_err(fail)?;
        let gzip = magic == [0x1f, 0x8b];
        let plain = std::io::Cursor::new(magic).chain(stdin);
        let mut reader: Box<dyn std::io::Read + Send> =
            if gzip { Box::new(flate2::read::MultiGzDecoder::new(plain)) } else { Box::new(plain) };
        let mut sender = Sending::new(settings, &intake, "stdin");
        let read =
            pump(settings, &mut reader, "standard input", Vec::new(), &mut sender, true, &mut |_| {}).await;
        let read = match read {
            Ok(_) => sender.drain().await,
            Err(e) => Err(e),
        };
        if let Err(e) = read {
            report.failed.push(says(&e));
        }
    }
    Ok(report)
}

/// Watches what `patterns` name until `stopped` ends: new files and what is appended to known ones.
pub async fn watch<C, P>(
    settings: &Settings,
    patterns: &[String],
    intake: mpsc::Sender<Payload>,
    is_audit: &C,
    positions: &P,
    stopped: impl Future<Output = ()>,
) -> Result<(), FilesError>
where
    C: Fn(&[u8]) -> bool,
    P: Fn(&str) -> Option<String>,
{
    tokio::pin!(stopped);
    let mut sizes: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let mut taken: BTreeMap<PathBuf, (u64, i64)> = BTreeMap::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    loop {
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for pattern in patterns {
            files.extend(list(pattern, &mut errors));
        }
        // What cannot be listed is said once; the rest is watched all the same.
        for error in errors.iter().map(says).filter(|error| told.insert(error.clone())) {
            tracing::warn!(error, "not all of what is watched can be read");
        }
        sort(&mut files, is_audit);
        for file in files {
            let size = file.metadata().map_or(0, |m| m.len());
            // A file that still grows may end within a record: its tail waits for the next look.
            let settled = sizes.insert(file.clone(), size) == Some(size);
            let state = (size, modified(&file));
            if taken.get(&file) == Some(&state) {
                continue;
            }
            if settled {
                taken.insert(file.clone(), state);
            }
            if let Err(error) = take(settings, &file, &intake, positions, settled, &mut |_| {}).await {
                tracing::warn!(
                    error = says(&error),
                    "a watched file was not taken; the next look tries again"
                );
                taken.remove(&file);
            }
        }
        tokio::select! {
            () = &mut stopped => return Ok(()),
            () = tokio::time::sleep(settings.every) => {}
        }
    }
}

/// How many files a pattern names now.
pub fn check(pattern: &str) -> Result<usize, FilesError> {
    let mut errors = Vec::new();
    let files = list(pattern, &mut errors);
    errors.into_iter().next().map_or(Ok(files.len()), Err)
}

fn says(error: &FilesError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The files of a path, a folder or a pattern, by name; what cannot be read goes to `errors`.
fn list(pattern: &str, errors: &mut Vec<FilesError>) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let mut out = Vec::new();
    if path.is_file() {
        out.push(absolute(path));
    } else if path.is_dir() {
        walk(path, &mut |file| out.push(file), errors);
    } else if pattern.contains(['*', '?', '[', '{']) {
        // Only what was asked is a pattern, not the folder it is asked in.
        let folder = std::env::current_dir().unwrap_or_default();
        let full = match path.is_absolute() {
            true => pattern.to_owned(),
            false => format!("{}/{pattern}", globset::escape(&folder.display().to_string())),
        };
        let glob = match GlobBuilder::new(&full).literal_separator(true).build() {
            Ok(glob) => glob.compile_matcher(),
            Err(source) => {
                errors.push(FilesError::Pattern { pattern: pattern.to_owned(), source });
                return out;
            }
        };
        let fixed: PathBuf = path
            .components()
            .take_while(|c| !c.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
            .collect();
        let fixed = absolute(if fixed.as_os_str().is_empty() { Path::new(".") } else { &fixed });
        if fixed.is_dir() {
            let mut each = |file: PathBuf| {
                if glob.is_match(&file) {
                    out.push(file);
                }
            };
            walk(&fixed, &mut each, errors);
        }
    }
    out.sort();
    out
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn walk(folder: &Path, each: &mut impl FnMut(PathBuf), errors: &mut Vec<FilesError>) {
    let fail = |source| FilesError::Io { path: folder.display().to_string(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => return errors.push(fail(e)),
    };
    for entry in entries {
        let (entry, kind) = match entry.and_then(|e| Ok((e.file_type()?, e))) {
            Ok((kind, entry)) => (entry, kind),
            Err(e) => {
                errors.push(fail(e));
                continue;
            }
        };
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !hidden {
            walk(&entry.path(), each, errors);
        } else if !hidden && (kind.is_file() || kind.is_symlink() && entry.path().is_file()) {
            // A link to a folder is not followed: it may lead back here.
            each(absolute(&entry.path()));
        }
    }
}

/// When a file was changed last, in nanoseconds since 1970.
fn modified(path: &Path) -> i64 {
    let changed = path.metadata().and_then(|m| m.modified()).ok();
    let since = changed.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(0)
}

/// Records about the world are learnt before the events they explain.
fn sort(files: &mut Vec<PathBuf>, is_audit: &impl Fn(&[u8]) -> bool) {
    files.sort();
    files.dedup();
    files.sort_by_cached_key(|file| {
        let mut head = Vec::new();
        let read = File::open(file).and_then(|f| f.take(SNIFF).read_to_end(&mut head));
        if head.starts_with(&[0x1f, 0x8b]) {
            let mut inflated = vec![0; SNIFF as usize];
            let mut reader = flate2::read::GzDecoder::new(head.as_slice());
            let mut filled = 0;
            while let Ok(n @ 1..) = reader.read(&mut inflated[filled..]) {
                filled += n;
            }
            inflated.truncate(filled);
            head = inflated;
        }
        read.is_ok() && is_audit(&head)
    });
}

/// Takes what of a file is not taken yet.
async fn take(
    settings: &Settings,
    path: &Path,
    intake: &mpsc::Sender<Payload>,
    positions: &impl Fn(&str) -> Option<String>,
    settled: bool,
    progress: &mut impl FnMut(u64),
) -> Result<(), FilesError> {
    let name = path.display().to_string();
    let fail = |source| FilesError::Io { path: name.clone(), source };
    let partition = format!("file:{name}");
    let mut file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    let left: Option<Left> = positions(&partition).and_then(|p| serde_json::from_str(&p).ok());
    let mut start = 0;
    if let Some(left) = &left
        && left.offset <= size
        && digest(&mut file, 0, left.head_bytes).map_err(fail)? == left.head
        && tail(&mut file, left.offset).map_err(fail)? == left.tail
        && !(left.offset == size && left.modified != modified(path))
    {
        start = left.offset;
    }
    if start == size {
        return Ok(());
    }
    let mut magic = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    std::io::Read::by_ref(&mut file).take(AVRO.len() as u64).read_to_end(&mut magic).map_err(fail)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    if (gzip || magic == AVRO) && !settled {
        return Ok(());
    }
    if magic == AVRO {
        // Its header says how to read what comes later.
        start = 0;
    }
    // A compressed file cannot be entered in the middle.
    file.seek(SeekFrom::Start(if gzip { 0 } else { start })).map_err(fail)?;
    let head_bytes = size.min(HEAD);
    let mut second = File::open(path).map_err(fail)?;
    let head = digest(&mut second, 0, head_bytes).map_err(fail)?;
    // What was appended to a CSV export lies under its header.
    let mut beginning = Vec::new();
    if !gzip && start > 0 {
        second.seek(SeekFrom::Start(0)).map_err(fail)?;
        second.take(SNIFF).read_to_end(&mut beginning).map_err(fail)?;
        beginning.truncate(csv_header(&beginning));
    }
    let mut sender = Sending::new(settings, intake, &partition);
    let position = (
        Left {
            offset: if gzip { size } else { start },
            head,
            head_bytes,
            tail: String::new(),
            modified: modified(path),
        },
        partition.clone(),
    );
    if gzip {
        let mut reader = flate2::read::MultiGzDecoder::new(std::io::BufReader::new(file));
        match pump(settings, &mut reader, &name, Vec::new(), &mut sender, true, progress).await {
            // Damaged: the whole file goes in as it is, and the decoder says what is wrong with it.
            Err(FilesError::Io { .. }) => {
                let bytes = std::fs::read(path).map_err(fail)?;
                sender.send(bytes.into(), size).await?;
            }
            other => other?,
        }
        sender.position = Some(position);
    } else {
        sender.position = Some(position);
        pump(settings, &mut file, &name, beginning, &mut sender, settled, progress).await?;
    }
    sender.finish().await
}

fn digest(file: &mut File, from: u64, bytes: u64) -> std::io::Result<String> {
    let mut read = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(bytes).read_to_end(&mut read)?;
    Ok(RecordHash::of(&read).to_string())
}

/// Digest of the bytes before an offset.
fn tail(file: &mut File, offset: u64) -> std::io::Result<String> {
    let from = offset.saturating_sub(HEAD);
    digest(file, from, offset - from)
}

/// Reads in chunks, cuts between records, and sends. `whole` says that the end is the end.
async fn pump(
    settings: &Settings,
    reader: &mut (impl std::io::Read + Send),
    name: &str,
    mut header: Vec<u8>,
    sender: &mut Sending<'_>,
    whole: bool,
    progress: &mut impl FnMut(u64),
) -> Result<(), FilesError> {
    let fail = |source| FilesError::Io { path: name.to_owned(), source };
    let mut buffer: Vec<u8> = Vec::new();
    let mut sent = 0u64;
    // A file that is entered in its middle has its header from its beginning.
    let mut first = header.is_empty();
    loop {
        let before = buffer.len();
        // Reading is short next to decoding, and the runtime has other threads.
        let read = tokio::task::block_in_place(|| {
            buffer.reserve(settings.chunk);
            (&mut *reader).take(settings.chunk as u64).read_to_end(&mut buffer)
        });
        read.map_err(fail)?;
        let end = buffer.len() == before;
        let head = if first { csv_header(&buffer) } else { 0 };
        if head > 0 {
            header = buffer[..head].to_vec();
        }
        let between = if header.is_empty() { cut(&buffer, first) } else { cut_rows(&buffer) };
        let mut n = if end && whole { buffer.len() } else { between };
        // The last record may still be written: it is taken as it is, and looked at again when it grows.
        let unfinished = if end && whole && !is_whole(&buffer[between..]) { n - between } else { 0 };
        if n == 0 && buffer.len() > settings.max_document {
            // No record ends within the limit: it is handed over as it is, and what can be saved is.
            n = buffer.len();
        }
        if n > 0 {
            let rest = buffer.split_off(n);
            let chunk = std::mem::replace(&mut buffer, rest);
            sent += chunk.len() as u64;
            let chunk = if first || header.is_empty() { chunk } else { [header.as_slice(), &chunk].concat() };
            sender.send(chunk.into(), (n - unfinished) as u64).await?;
            progress(sent);
            first = false;
        }
        if end {
            return Ok(());
        }
    }
}

/// Payloads of one file on their way, a few at a time; its position is saved behind them.
struct Sending<'s> {
    intake: &'s mpsc::Sender<Payload>,
    source: String,
    position: Option<(Left, String)>,
    waiting: VecDeque<(Bytes, oneshot::Receiver<Outcome>)>,
    bytes_waiting: usize,
    under_way: usize,
    since_saved: usize,
}

impl<'s> Sending<'s> {
    fn new(settings: &Settings, intake: &'s mpsc::Sender<Payload>, source: &str) -> Sending<'s> {
        Sending {
            intake,
            source: source.to_owned(),
            position: None,
            waiting: VecDeque::new(),
            bytes_waiting: 0,
            under_way: settings.under_way,
            since_saved: 0,
        }
    }

    /// Sends a chunk that moves the position by `bytes`.
    async fn send(&mut self, chunk: Bytes, bytes: u64) -> Result<(), FilesError> {
        while self.bytes_waiting > 0 && self.bytes_waiting + chunk.len() > self.under_way {
            self.settle().await?;
        }
        self.hand_over(chunk, None).await?;
        if let Some((left, _)) = &mut self.position {
            left.offset += bytes;
        }
        self.since_saved += 1;
        if self.since_saved >= SAVE_EVERY && self.source.starts_with("file:") {
            self.finish().await?;
        }
        Ok(())
    }

    async fn hand_over(&mut self, chunk: Bytes, position: Option<Position>) -> Result<(), FilesError> {
        let (mut payload, outcome) = Payload::new(chunk.clone(), &self.source);
        payload.position = position;
        if self.intake.send(payload).await.is_err() {
            return Err(self.lost("the pipeline has stopped".to_owned()));
        }
        self.bytes_waiting += chunk.len();
        self.waiting.push_back((chunk, outcome));
        Ok(())
    }

    /// Waits for the oldest payload; one that was refused for now is sent again.
    async fn settle(&mut self) -> Result<(), FilesError> {
        let Some((chunk, outcome)) = self.waiting.pop_front() else { return Ok(()) };
        self.bytes_waiting -= chunk.len();
        match outcome.await {
            Ok(Outcome::Committed(_)) => Ok(()),
            Ok(Outcome::Busy { retry_after, .. }) => {
                tokio::time::sleep(retry_after).await;
                self.hand_over(chunk, None).await
            }
            Ok(Outcome::Full { says } | Outcome::Failed { says }) => Err(self.lost(says)),
            Err(_) => Err(self.lost("the pipeline gave it up; see the log".to_owned())),
        }
    }

    async fn drain(&mut self) -> Result<(), FilesError> {
        while !self.waiting.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for all payloads, then saves the position they reached.
    async fn finish(&mut self) -> Result<(), FilesError> {
        self.drain().await?;
        self.since_saved = 0;
        if let Some((left, partition)) = &mut self.position {
            // A file that is gone by now is looked at anew when it comes back.
            let path = partition.trim_start_matches("file:");
            left.tail = File::open(path).and_then(|mut f| tail(&mut f, left.offset)).unwrap_or_default();
            let value = serde_json::to_string(left).unwrap_or_default();
            let position = Position { partition: partition.clone(), value };
            self.hand_over(Bytes::new(), Some(position)).await?;
            self.drain().await?;
        }
        Ok(())
    }

    fn lost(&self, says: String) -> FilesError {
        FilesError::NotTaken { path: self.source.trim_start_matches("file:").to_owned(), says }
    }
}

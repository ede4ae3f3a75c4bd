//! Files, folders, patterns, URLs of objects and standard input: once, or watched; resumed where they were.

mod found;
mod item;
mod listed;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{Read as _, SeekFrom};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{Outcome, Payload, Position};
use crate::decode::{cut, cut_under, header_length, is_whole};
use crate::model::{Key, RecordHash};
use crate::objects::{Access, ObjectsError, is_url};
use item::{Bytewise, Item};
use listed::Listed;

/// How files are read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes read and handed over at a time.
    pub chunk: usize,
    /// Bytes of one document that cannot be cut between records.
    pub max_document: usize,
    /// Bytes under way at once: enough that one commit is prepared while another is written.
    pub under_way: usize,
    /// Time between two looks at what is watched.
    pub every: Duration,
    /// What reaches the object stores of URLs.
    pub storage: Access,
}

/// Files that cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("find `{pattern}`: there is no such file or folder")]
    Missing { pattern: String },
    #[error("find `{url}`: no object has this name, is below it or matches it; correct the URL")]
    NoObject { url: String },
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    #[error("understand the pattern `{pattern}`")]
    Pattern { pattern: String, source: globset::Error },
    #[error("read `{path}`")]
    Io { path: String, source: std::io::Error },
    #[error("take `{path}`: {says}")]
    NotTaken { path: String, says: String },
}

impl FilesError {
    /// What went wrong with the bytes of something; an object store has said itself what of.
    fn io(path: &str) -> impl Fn(std::io::Error) -> FilesError + use<'_> {
        |source| match source.downcast::<ObjectsError>() {
            Ok(error) => FilesError::Objects(error),
            Err(source) => FilesError::Io { path: path.to_owned(), source },
        }
    }
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
    /// The ETag of an object, by which one that is as it was need not be asked for.
    #[serde(default)]
    etag: String,
}

const HEAD: u64 = 4096;
/// How a file of Avro records begins.
const AVRO: &[u8] = b"Obj\x01";
/// How much of a file tells whether it holds audit records.
const SNIFF: u64 = 64 << 10;
/// Objects of a listing that are looked at together, to say how many bytes there are.
const LISTED: usize = 5000;
/// Payloads between two saved positions: to save one, all before it must be committed.
const SAVE_EVERY: usize = 128;

/// Ingests all that `patterns` name, once: of files records about the world first, audit records after them;
/// then objects in order of their names.
pub async fn ingest_once<C, P>(
    settings: &Settings,
    patterns: &[String],
    intake: mpsc::Sender<Payload>,
    is_audit: &C,
    positions: &P,
    progress: impl FnMut(Progress<'_>),
) -> Result<Report, FilesError>
where
    C: Fn(&[u8]) -> bool,
    P: Fn(&str) -> Option<String>,
{
    let mut pass =
        Pass { settings, intake: &intake, positions, progress, done: 0, total: 0, report: Report::default() };
    let mut files = Vec::new();
    let named = patterns.iter().filter(|p| *p != "-");
    let (urls, paths): (Vec<&String>, Vec<&String>) = named.partition(|p| is_url(p));
    for pattern in paths {
        let mut errors = Vec::new();
        let found = found::list(pattern, &mut errors);
        if found.is_empty() && errors.is_empty() {
            errors.push(FilesError::Missing { pattern: pattern.clone() });
        }
        files.extend(found);
        errors.iter().for_each(|e| pass.failed(e));
    }
    found::sort(&mut files, is_audit);
    let files: Vec<Item> = files.into_iter().map(Item::File).collect();
    pass.total = files.iter().map(Item::size).sum();
    for file in &files {
        pass.take(file).await;
    }
    for url in urls {
        match Listed::open(url, &settings.storage) {
            Ok(listed) => pass.take_all(&listed, url).await,
            Err(e) => pass.failed(&e),
        }
    }
    let mut report = pass.report;
    if patterns.iter().any(|p| p == "-") {
        let mut stdin = std::io::stdin();
        let mut magic = Vec::new();
        let fail = |source| FilesError::Io { path: "standard input".to_owned(), source };
        std::io::Read::by_ref(&mut stdin).take(2).read_to_end(&mut magic).map_err(fail)?;
        let gzip = magic == [0x1f, 0x8b];
        let plain = std::io::Cursor::new(magic).chain(stdin);
        let mut reader: Box<dyn std::io::Read + Send> =
            if gzip { Box::new(flate2::read::MultiGzDecoder::new(plain)) } else { Box::new(plain) };
        let mut sender = Sending::new(settings, &intake, "stdin", None);
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
    let mut listed = Vec::new();
    for url in patterns.iter().filter(|p| is_url(p)) {
        listed.push(Listed::open(url, &settings.storage)?);
    }
    // By what something is called. Object stores hold many: the names themselves would fill the memory.
    let mut seen: HashMap<Key, Seen> = HashMap::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    loop {
        let mut now = HashMap::with_capacity(seen.len());
        let mut failed = BTreeSet::new();
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for pattern in patterns.iter().filter(|p| !is_url(p)) {
            files.extend(found::list(pattern, &mut errors));
        }
        found::sort(&mut files, is_audit);
        let files = files.into_iter().map(|file| Ok(Item::File(file)));
        let mut items = stream::iter(errors.into_iter().map(Err).chain(files)).boxed();
        for listed in &listed {
            items = items.chain(listed.list()).boxed();
        }
        loop {
            let next = tokio::select! {
                () = &mut stopped => return Ok(()),
                next = items.next() => next,
            };
            let item = match next {
                None => break,
                Some(Ok(item)) => item,
                // What cannot be listed is said once until it can; the rest is watched all the same.
                Some(Err(error)) => {
                    if !told.contains(&error.to_string()) {
                        tracing::warn!(error = says(&error), "not all of what is watched can be read");
                    }
                    failed.insert(error.to_string());
                    continue;
                }
            };
            let (name, state) = (Key::of(&item.name()), item.state());
            let before = seen.get(&name).filter(|before| before.state == state);
            // What still grows may end within a record: its tail waits for the next look.
            let settled = before.is_some() || item.is_old();
            let mut taken = before.is_some_and(|before| before.taken);
            if !taken {
                let mut ignore = |_| {};
                let done = tokio::select! {
                    () = &mut stopped => return Ok(()),
                    done = take(settings, &item, &intake, positions, settled, &mut ignore) => done,
                };
                taken = settled && done.is_ok();
                if let Err(error) = done {
                    tracing::warn!(
                        error = says(&error),
                        "a watched file was not taken; the next look tries again"
                    );
                }
            }
            now.insert(name, Seen { state, taken });
        }
        (seen, told) = (now, failed);
        tokio::select! {
            () = &mut stopped => return Ok(()),
            () = tokio::time::sleep(settings.every) => {}
        }
    }
}

/// How many files a pattern names now; `None` for a URL, which is understood and not asked.
pub fn check(settings: &Settings, pattern: &str) -> Result<Option<usize>, FilesError> {
    if is_url(pattern) {
        return Listed::open(pattern, &settings.storage).map(|_| None);
    }
    let mut errors = Vec::new();
    let files = found::list(pattern, &mut errors);
    errors.into_iter().next().map_or(Ok(Some(files.len())), Err)
}

/// What was seen of something in a look.
struct Seen {
    state: Key,
    taken: bool,
}

/// One pass over all that is asked for.
struct Pass<'p, P, F> {
    settings: &'p Settings,
    intake: &'p mpsc::Sender<Payload>,
    positions: &'p P,
    progress: F,
    done: u64,
    total: u64,
    report: Report,
}

impl<P: Fn(&str) -> Option<String>, F: FnMut(Progress<'_>)> Pass<'_, P, F> {
    fn failed(&mut self, error: &FilesError) {
        self.report.failed.push(says(error));
    }

    async fn take(&mut self, item: &Item) {
        let (name, base, total) = (item.name(), self.done, self.total);
        let mut step = |bytes| (self.progress)(Progress { bytes: base + bytes, total, file: &name });
        step(0);
        if let Err(e) = take(self.settings, item, self.intake, self.positions, true, &mut step).await {
            self.failed(&e);
        }
        self.done = base + item.size();
    }

    async fn take_all(&mut self, listed: &Listed, url: &str) {
        let mut is_empty = true;
        let mut pages = listed.list().ready_chunks(LISTED);
        while let Some(page) = pages.next().await {
            is_empty = false;
            self.total += page.iter().flatten().map(Item::size).sum::<u64>();
            for item in &page {
                match item {
                    Ok(item) => self.take(item).await,
                    Err(e) => self.failed(e),
                }
            }
        }
        if is_empty {
            self.failed(&FilesError::NoObject { url: url.to_owned() });
        }
    }
}

fn says(error: &FilesError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Takes what of a file or an object is not taken yet.
async fn take(
    settings: &Settings,
    item: &Item,
    intake: &mpsc::Sender<Payload>,
    positions: &impl Fn(&str) -> Option<String>,
    settled: bool,
    progress: &mut impl FnMut(u64),
) -> Result<(), FilesError> {
    let (name, partition) = (item.name(), item.partition());
    let fail = FilesError::io(&name);
    let mut file = item.open(settings.chunk).map_err(&fail)?;
    let (size, modified, etag) = (item.size(), item.modified(), item.etag());
    let left: Option<Left> = positions(&partition).and_then(|p| serde_json::from_str(&p).ok());
    let mut start = 0;
    if let Some(left) = &left {
        let is_whole = left.offset == size;
        if is_whole && !etag.is_empty() && left.etag == etag {
            return Ok(());
        }
        if left.offset <= size
            && digest(&mut file, 0, left.head_bytes).map_err(&fail)? == left.head
            && tail(&mut file, left.offset).map_err(&fail)? == left.tail
            && !(is_whole && (left.modified, left.etag.as_str()) != (modified, etag))
        {
            start = left.offset;
        }
    }
    if start == size {
        return Ok(());
    }
    let magic = bytes(&mut file, 0, AVRO.len() as u64).map_err(&fail)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    if (gzip || magic == AVRO) && !settled {
        return Ok(());
    }
    if magic == AVRO {
        // Its header says how to read what comes later.
        start = 0;
    }
    let head_bytes = size.min(HEAD);
    let head = digest(&mut file, 0, head_bytes).map_err(&fail)?;
    // What was appended to a CSV export lies under its header.
    let mut beginning = Vec::new();
    if !gzip && start > 0 {
        beginning = bytes(&mut file, 0, SNIFF).map_err(&fail)?;
        beginning.truncate(header_length(&beginning));
    }
    // A compressed file cannot be entered in the middle.
    file.seek(SeekFrom::Start(if gzip { 0 } else { start })).map_err(&fail)?;
    let mut sender = Sending::new(settings, intake, &partition, Some(item));
    let position = Left {
        offset: if gzip { size } else { start },
        head,
        head_bytes,
        tail: String::new(),
        modified,
        etag: etag.to_owned(),
    };
    if gzip {
        let mut reader = flate2::read::MultiGzDecoder::new(std::io::BufReader::new(file));
        match pump(settings, &mut reader, &name, Vec::new(), &mut sender, true, progress).await {
            // Damaged: the whole file goes in as it is, and the decoder says what is wrong with it.
            Err(FilesError::Io { .. }) => {
                let mut whole = Vec::new();
                item.open(settings.chunk).and_then(|mut file| file.read_to_end(&mut whole)).map_err(&fail)?;
                sender.send(whole.into(), size).await?;
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

fn bytes(file: &mut Box<dyn Bytewise>, from: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(bytes).read_to_end(&mut read)?;
    Ok(read)
}

fn digest(file: &mut Box<dyn Bytewise>, from: u64, length: u64) -> std::io::Result<String> {
    Ok(RecordHash::of(&bytes(file, from, length)?).to_string())
}

/// Digest of the bytes before an offset.
fn tail(file: &mut Box<dyn Bytewise>, offset: u64) -> std::io::Result<String> {
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
    let fail = FilesError::io(name);
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
        read.map_err(&fail)?;
        let end = buffer.len() == before;
        let head = if first { header_length(&buffer) } else { 0 };
        if head > 0 {
            header = buffer[..head].to_vec();
        }
        let between = if header.is_empty() { cut(&buffer, first) } else { cut_under(&header, &buffer) };
        let mut n = if end && whole { buffer.len() } else { between };
        // The last record may still be written: it is taken as it is, and looked at again when it grows.
        let unfinished = if end && whole && !is_whole(&header, &buffer[between..]) { n - between } else { 0 };
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
    /// What is read, unless it is standard input.
    item: Option<&'s Item>,
    position: Option<Left>,
    waiting: VecDeque<(Bytes, oneshot::Receiver<Outcome>)>,
    bytes_waiting: usize,
    under_way: usize,
    since_saved: usize,
}

impl<'s> Sending<'s> {
    fn new(
        settings: &Settings,
        intake: &'s mpsc::Sender<Payload>,
        source: &str,
        item: Option<&'s Item>,
    ) -> Sending<'s> {
        Sending {
            intake,
            source: source.to_owned(),
            item,
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
        if let Some(left) = &mut self.position {
            left.offset += bytes;
        }
        self.since_saved += 1;
        if self.since_saved >= SAVE_EVERY && self.position.is_some() {
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
        if let (Some(left), Some(item)) = (&mut self.position, self.item) {
            // What is gone by now is looked at anew when it comes back.
            left.tail =
                item.open(HEAD as usize).and_then(|mut f| tail(&mut f, left.offset)).unwrap_or_default();
            let value = serde_json::to_string(left).unwrap_or_default();
            let position = Position { partition: self.source.clone(), value };
            self.hand_over(Bytes::new(), Some(position)).await?;
            self.drain().await?;
        }
        Ok(())
    }

    fn lost(&self, says: String) -> FilesError {
        FilesError::NotTaken { path: self.source.trim_start_matches("file:").to_owned(), says }
    }
}

#[cfg(test)]
mod tests;

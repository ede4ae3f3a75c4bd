//! A file, or an object of an object store: what it is called, by what a change is noticed, and its bytes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::{GetOptions, ObjectMeta, ObjectStore};
use tokio::runtime::Handle;

use crate::model::Key;
use crate::objects::{Advice, ObjectsError};

/// What helps whoever reads from object storage.
pub(super) const ADVICE: Advice = Advice {
    refused: "the service refuses the credential; check it in [storage], and that the identity may list and read there (Storage Blob Data Reader on the container; s3:ListBucket, s3:GetObject)",
    missing: "it is not there any more",
};

/// One thing to read.
pub(super) enum Item {
    File(PathBuf),
    Object(Object),
}

/// An object as it was listed.
#[derive(Debug, Clone)]
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: object_store::path::Path,
    url: String,
    size: u64,
    etag: String,
    is_old: bool,
}

/// Nobody writes on for so long without a sign of it.
const OLD: Duration = Duration::from_secs(120);

/// Bytes that can be entered anywhere.
pub(super) trait Bytewise: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytewise for T {}

impl Item {
    /// A path, or a URL.
    pub fn name(&self) -> String {
        match self {
            Item::File(path) => path.display().to_string(),
            Item::Object(object) => object.url.clone(),
        }
    }

    /// What it is called as a source, and its position.
    pub fn partition(&self) -> String {
        match self {
            Item::File(path) => format!("file:{}", path.display()),
            Item::Object(object) => object.url.clone(),
        }
    }

    pub fn size(&self) -> u64 {
        match self {
            Item::File(path) => path.metadata().map_or(0, |m| m.len()),
            Item::Object(object) => object.size,
        }
    }

    /// When a file was changed last, in nanoseconds since 1970; an object's ETag says that better.
    pub fn modified(&self) -> i64 {
        match self {
            Item::File(path) => modified(path),
            Item::Object(_) => 0,
        }
    }

    /// Another one whenever an object holds something else; empty for a file.
    pub fn etag(&self) -> &str {
        match self {
            Item::File(_) => "",
            Item::Object(object) => &object.etag,
        }
    }

    /// Another one whenever it holds something else.
    pub fn state(&self) -> Key {
        Key::of(&format!("{} {} {}", self.size(), self.modified(), self.etag()))
    }

    /// Whether it is known to be whole at first sight: then it need not be looked at twice.
    pub fn is_old(&self) -> bool {
        matches!(self, Item::Object(object) if object.is_old)
    }

    /// Opens it at its beginning; of an object `chunk` bytes are held at a time.
    pub fn open(&self, chunk: usize) -> io::Result<Box<dyn Bytewise>> {
        Ok(match self {
            Item::File(path) => Box::new(File::open(path)?),
            Item::Object(object) => Box::new(Chunks {
                object: object.clone(),
                chunk: chunk.max(1) as u64,
                requests: Handle::current(),
                at: 0,
                held: Bytes::new(),
                held_at: 0,
            }),
        })
    }
}

impl Object {
    pub fn new(store: &Arc<dyn ObjectStore>, url: String, meta: ObjectMeta) -> Object {
        let (size, etag) = (meta.size, etag(&meta));
        let is_old = SystemTime::now().duration_since(meta.last_modified.into()).is_ok_and(|age| age > OLD);
        Object { store: store.clone(), path: meta.location, url, size, etag, is_old }
    }
}

/// An object's ETag. A listing leaves out the quotes; a store without ETags has at least a time.
fn etag(meta: &ObjectMeta) -> String {
    let time = || meta.last_modified.to_rfc3339();
    meta.e_tag.as_deref().map_or_else(time, |tag| tag.trim_matches('"').to_owned())
}

fn modified(path: &Path) -> i64 {
    let changed = path.metadata().and_then(|m| m.modified()).ok();
    let since = changed.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(0)
}

/// An object read chunk by chunk, each with a request. Who reads waits: the decoders are not asynchronous.
struct Chunks {
    object: Object,
    chunk: u64,
    requests: Handle,
    at: u64,
    held: Bytes,
    held_at: u64,
}

impl Chunks {
    /// The chunk that begins at `from`.
    fn get(&self, from: u64) -> io::Result<Bytes> {
        let Object { store, path, url, size, etag: listed, .. } = &self.object;
        let until = from.saturating_add(self.chunk).min(*size);
        let get = async {
            let found = store.get_opts(path, GetOptions::new().with_range(Some(from..until))).await?;
            let now = etag(&found.meta);
            Ok((now, found.bytes().await?))
        };
        let got = tokio::task::block_in_place(|| self.requests.block_on(get));
        let (now, bytes) =
            got.map_err(|e| io::Error::other(ObjectsError::failed("read", url.clone(), ADVICE, e)))?;
        if now != *listed || bytes.len() as u64 != until - from {
            return Err(io::Error::other("it was changed while it was read; ingest it again"));
        }
        Ok(bytes)
    }
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.object.size {
            return Ok(0);
        }
        if !(self.held_at..self.held_at + self.held.len() as u64).contains(&self.at) {
            self.held = self.get(self.at)?;
            self.held_at = self.at;
        }
        let mut held = &self.held[(self.at - self.held_at) as usize..];
        let read = held.read(out)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Chunks {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.object.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

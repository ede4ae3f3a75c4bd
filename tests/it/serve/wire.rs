//! The least that speaks PostgreSQL's protocol: it can say what no driver says, and sees what is answered.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// What a server says against something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub code: String,
    pub says: String,
}

pub type Row = Vec<Option<String>>;
pub type Answer = std::result::Result<Vec<Row>, Told>;

/// A connection.
pub struct Wire {
    pub stream: TcpStream,
    /// What cancels its queries.
    pub key: [u8; 8],
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A message: its letter, its length, what is in it.
pub fn message(letter: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[letter][..], &length, body].concat()
}

/// The first message of a connection.
pub fn startup(name: &str) -> Vec<u8> {
    let body = format!("\0\x03\0\0user\0{name}\0database\0agentrail\0\0");
    [&(body.len() as u32 + 4).to_be_bytes()[..], body.as_bytes()].concat()
}

impl Wire {
    /// Connects, and says nothing.
    pub fn open(port: u16) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Wire { stream, key: [0; 8] }
    }

    /// Signs in; a password is not sent where none is asked for.
    pub fn sign_in(port: u16, name: &str, password: &str) -> std::result::Result<Wire, Told> {
        let mut wire = Wire::open(port);
        wire.send(&startup(name));
        let gone = |e: Error| Told { code: "gone".to_owned(), says: e.to_string() };
        let mut begun = String::new();
        loop {
            let (letter, body) = wire.next().map_err(gone)?;
            match (letter, body.get(..4)) {
                (b'E', _) => return Err(told(&body)),
                (b'Z', _) => return Ok(wire),
                (b'K', _) => wire.key.copy_from_slice(&body[..8]),
                (b'R', Some([0, 0, 0, 10])) => {
                    let first = "n,,n=,r=abcdefghijkl";
                    begun = first[3..].to_owned();
                    let mut own = b"SCRAM-SHA-256\0".to_vec();
                    own.extend((first.len() as u32).to_be_bytes());
                    own.extend(first.as_bytes());
                    wire.send(&message(b'p', &own));
                }
                (b'R', Some([0, 0, 0, 11])) => {
                    let server = text(&body[4..]);
                    let part =
                        |name: &str| server.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
                    let salt = STANDARD.decode(part("s=")).unwrap();
                    let mut block = mac(password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
                    let mut salted = block;
                    for _ in 1..part("i=").parse::<u32>().unwrap() {
                        block = mac(password.as_bytes(), &block);
                        salted.iter_mut().zip(block).for_each(|(all, own)| *all ^= own);
                    }
                    let last = format!("c=biws,r={}", part("r="));
                    let key = mac(&salted, b"Client Key");
                    let signed = format!("{begun},{server},{last}");
                    let signature = mac(&Sha256::digest(key), signed.as_bytes());
                    let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
                    wire.send(&message(b'p', format!("{last},p={}", STANDARD.encode(proof)).as_bytes()));
                }
                _ => {}
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next message of the server.
    pub fn next(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length.checked_sub(4).ok_or(ErrorKind::InvalidData)?];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }

    /// Rows and errors until the server is ready again.
    pub fn answer(&mut self) -> Answer {
        let (mut rows, mut error) = (Vec::new(), None);
        loop {
            match self.next() {
                Ok((b'Z', _)) => return error.map_or(Ok(rows), Err),
                Ok((b'E', body)) => error = error.or(Some(told(&body))),
                Ok((b'D', body)) => rows.push(row(&body)),
                Ok((b'd', body)) => rows.push(vec![Some(text(&body))]),
                Ok(_) => {}
                Err(e) => {
                    return Err(error.unwrap_or(Told { code: "gone".to_owned(), says: e.to_string() }));
                }
            }
        }
    }

    /// Asks in the simple form.
    pub fn ask(&mut self, sql: &str) -> Answer {
        self.send(&message(b'Q', &[sql.as_bytes(), b"\0"].concat()));
        self.answer()
    }

    /// Asks in the extended form: prepared, described, bound and executed.
    pub fn ask_prepared(&mut self, sql: &str) -> Answer {
        let parse = [b"\0", sql.as_bytes(), b"\0\0\0"].concat();
        let all = [
            message(b'P', &parse),
            message(b'D', b"S\0"),
            message(b'B', b"\0\0\0\0\0\0\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ];
        self.send(&all.concat());
        self.answer()
    }
}

fn told(body: &[u8]) -> Told {
    let mut told = Told { code: String::new(), says: String::new() };
    for part in body.split(|byte| *byte == 0).filter(|part| !part.is_empty()) {
        match part[0] {
            b'C' => told.code = text(&part[1..]),
            b'M' => told.says = text(&part[1..]),
            _ => {}
        }
    }
    told
}

fn row(body: &[u8]) -> Row {
    let (mut rest, mut row) = (&body[2..], Vec::new());
    while let Some((head, tail)) = rest.split_at_checked(4) {
        let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        match usize::try_from(length) {
            Ok(length) => {
                row.push(Some(text(&tail[..length])));
                rest = &tail[length..];
            }
            Err(_) => {
                row.push(None);
                rest = tail;
            }
        }
    }
    row
}

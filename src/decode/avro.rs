//! Avro's container of records, read strictly: a header with its schema, blocks, a marker after each.
//!
//! Only reading, and only what a file of records needs: no resolution against another schema. Sizes are
//! bounded before they are believed, and nothing is read twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value as Json;

const MAGIC: &[u8] = b"Obj\x01";
const MARKER: usize = 16;
/// Types within types beyond this are no form anybody writes.
const MOST_NESTED: usize = 32;

/// Whether a body begins as such a file does.
pub(super) fn is_container(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// The length of the header of such a file; 0 where it is none, or not all there.
pub(super) fn header_length(body: &[u8]) -> usize {
    if !is_container(body) {
        return 0;
    }
    Container::open(body).map_or(0, |container| container.position())
}

/// The length of the whole blocks that what follows a header begins with.
pub(super) fn cut_blocks(header: &[u8], bytes: &[u8]) -> usize {
    let mut input = Input { bytes, at: 0 };
    let mut whole = 0;
    while input.block().is_ok_and(|(_, _, marker)| header.ends_with(marker)) {
        whole = input.at;
    }
    whole
}

/// A value of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum<'b> {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Bytes(&'b [u8]),
    Text(&'b str),
    List(Vec<Datum<'b>>),
    /// A record, or a map.
    Members(Vec<(Cow<'b, str>, Datum<'b>)>),
}

impl Datum<'_> {
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Datum::Members(members) => members.iter().find(|(n, _)| n == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// What a type says of the bytes of its values.
#[derive(Debug, Clone)]
enum Type {
    Null,
    Bool,
    /// `int` and `long` lie there in the same way.
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    List(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Record(Vec<(String, Type)>),
}

/// A file whose header was read.
pub(super) struct Container<'a> {
    schema: Type,
    deflate: bool,
    marker: &'a [u8],
    input: Input<'a>,
}

/// One block, inflated.
pub(super) struct Block<'a> {
    /// Where it begins in the file.
    pub position: usize,
    count: usize,
    bytes: Cow<'a, [u8]>,
}

/// Lowercase fragments that say what is wrong.
type Read<T> = Result<T, String>;

impl<'a> Container<'a> {
    pub fn open(body: &'a [u8]) -> Read<Container<'a>> {
        let mut input = Input { bytes: body, at: MAGIC.len() };
        let mut metadata: BTreeMap<&str, &[u8]> = BTreeMap::new();
        input.blocks(|input| {
            let name = input.text()?;
            metadata.insert(name, input.bytes()?);
            Ok(())
        })?;
        let schema = metadata.get("avro.schema").ok_or("the header has no schema")?;
        let schema: Json =
            serde_json::from_slice(schema).map_err(|e| format!("the schema is no JSON: {e}"))?;
        let schema = parse(&schema, &mut BTreeMap::new(), 0)?;
        let deflate = match metadata.get("avro.codec").copied().unwrap_or(b"null") {
            b"null" => false,
            b"deflate" => true,
            other => {
                let name = String::from_utf8_lossy(other).into_owned();
                return Err(format!("the codec `{name}` is not read; write it with null or deflate"));
            }
        };
        let marker = input.take(MARKER)?;
        Ok(Container { schema, deflate, marker, input })
    }

    /// Where reading stands.
    pub fn position(&self) -> usize {
        self.input.at
    }

    /// The next block, which inflates to no more than `most` bytes; `None` at the end of the file.
    pub fn next(&mut self, most: usize) -> Read<Option<Block<'a>>> {
        let position = self.input.at;
        if position == self.input.bytes.len() {
            return Ok(None);
        }
        let (count, packed, marker) = self.input.block()?;
        if marker != self.marker {
            return Err("a block does not end with the marker of the file".to_owned());
        }
        let bytes = match self.deflate {
            false => Cow::Borrowed(packed),
            true => {
                let mut out = Vec::new();
                let mut reader = flate2::read::DeflateDecoder::new(packed).take(most as u64 + 1);
                reader.read_to_end(&mut out).map_err(|e| format!("a block cannot be inflated: {e}"))?;
                Cow::Owned(out)
            }
        };
        if bytes.len() > most {
            return Err(format!("a block has more than {most} bytes; raise `decode.max_inflated`"));
        }
        // A record of no bytes would make any number of them out of nothing.
        if count > bytes.len() {
            return Err("a block has more records than bytes".to_owned());
        }
        Ok(Some(Block { position, count, bytes }))
    }

    /// The records of a block, one after the other.
    pub fn each<'b>(&self, block: &'b Block<'_>, mut record: impl FnMut(Datum<'b>)) -> Read<()> {
        let mut input = Input { bytes: &block.bytes, at: 0 };
        for _ in 0..block.count {
            record(input.value(&self.schema)?);
        }
        match input.at == block.bytes.len() {
            true => Ok(()),
            false => Err("a block is longer than its records".to_owned()),
        }
    }
}

/// Bytes with a place in them.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("the file breaks off")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Seven bits a byte, the lowest first, the sign in the lowest bit.
    fn long(&mut self) -> Read<i64> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.take(1)?[0];
            if shift > 63 {
                return Err("a number is too long".to_owned());
            }
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
    }

    /// How many records a block has, their bytes, and the marker behind them.
    fn block(&mut self) -> Read<(usize, &'a [u8], &'a [u8])> {
        let (count, size) = (self.length()?, self.length()?);
        Ok((count, self.take(size)?, self.take(MARKER)?))
    }

    fn length(&mut self) -> Read<usize> {
        usize::try_from(self.long()?).map_err(|_| "a length is below zero".to_owned())
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Read<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a text is not UTF-8".to_owned())
    }

    /// The items of an array or map, which come in blocks, up to an empty one.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        loop {
            let count = match self.long()? {
                0 => return Ok(()),
                // Then its bytes are told as well, for who wants to skip it.
                count @ ..0 => {
                    self.length()?;
                    count.unsigned_abs()
                }
                count => count.unsigned_abs(),
            };
            // Items of no bytes, such as nulls, would be any number out of nothing.
            if count > (self.bytes.len() - self.at) as u64 {
                return Err("a list has more items than bytes".to_owned());
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    fn value(&mut self, of: &Type) -> Read<Datum<'a>> {
        Ok(match of {
            Type::Null => Datum::Null,
            Type::Bool => Datum::Bool(self.take(1)?[0] != 0),
            Type::Long => Datum::Long(self.long()?),
            Type::Float => {
                let bytes = self.take(4)?.try_into().map_err(|_| "a number breaks off")?;
                Datum::Double(f64::from(f32::from_le_bytes(bytes)))
            }
            Type::Double => {
                let bytes = self.take(8)?.try_into().map_err(|_| "a number breaks off")?;
                Datum::Double(f64::from_le_bytes(bytes))
            }
            Type::Bytes => Datum::Bytes(self.bytes()?),
            Type::Text => Datum::Text(self.text()?),
            Type::Fixed(size) => Datum::Bytes(self.take(*size)?),
            Type::Enum(names) => {
                let n = self.length()?;
                // Names live in the schema, values in the block: a number tells as much here.
                names.get(n).ok_or("a value is none of its names")?;
                Datum::Long(n as i64)
            }
            Type::List(item) => {
                let mut items = Vec::new();
                self.blocks(|input| {
                    items.push(input.value(item)?);
                    Ok(())
                })?;
                Datum::List(items)
            }
            Type::Map(item) => {
                let mut members = Vec::new();
                self.blocks(|input| {
                    let name = input.text()?;
                    members.push((Cow::Borrowed(name), input.value(item)?));
                    Ok(())
                })?;
                Datum::Members(members)
            }
            Type::Union(branches) => {
                let n = self.length()?;
                self.value(branches.get(n).ok_or("a value is of none of its types")?)?
            }
            Type::Record(fields) => {
                let mut members = Vec::with_capacity(fields.len());
                for (name, kind) in fields {
                    members.push((Cow::Owned(name.clone()), self.value(kind)?));
                }
                Datum::Members(members)
            }
        })
    }
}

/// Reads a schema. Types that contain themselves are refused: no record here is of that kind.
fn parse(json: &Json, named: &mut BTreeMap<String, Type>, depth: usize) -> Read<Type> {
    if depth > MOST_NESTED {
        return Err("the schema nests too deep".to_owned());
    }
    let word = |name: &str| json.get(name).and_then(Json::as_str);
    if let Json::Array(branches) = json {
        return branches.iter().map(|b| parse(b, named, depth + 1)).collect::<Read<_>>().map(Type::Union);
    }
    let kind = json.as_str().or_else(|| word("type"));
    let Some(kind) = kind else {
        // `{"type": {...}}`, a type in a type.
        let inner = json.get("type").ok_or("a type of the schema has no name")?;
        return parse(inner, named, depth + 1);
    };
    let inner = |name: &str| json.get(name).ok_or(format!("`{kind}` of the schema has no `{name}`"));
    let made = match kind {
        "null" => Type::Null,
        "boolean" => Type::Bool,
        "int" | "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        "array" => Type::List(Box::new(parse(inner("items")?, named, depth + 1)?)),
        "map" => Type::Map(Box::new(parse(inner("values")?, named, depth + 1)?)),
        "fixed" => {
            let size = inner("size")?.as_u64().and_then(|n| usize::try_from(n).ok());
            Type::Fixed(size.ok_or("a size of the schema is no number")?)
        }
        "enum" => {
            let symbols = inner("symbols")?.as_array().ok_or("the symbols of the schema are no list")?;
            Type::Enum(symbols.iter().filter_map(Json::as_str).map(str::to_owned).collect())
        }
        "record" | "error" => {
            let fields = inner("fields")?.as_array().ok_or("the fields of the schema are no list")?;
            let mut own = Vec::with_capacity(fields.len());
            for field in fields {
                let name =
                    field.get("name").and_then(Json::as_str).ok_or("a field of the schema has no name")?;
                let kind = field.get("type").ok_or("a field of the schema has no type")?;
                own.push((name.to_owned(), parse(kind, named, depth + 1)?));
            }
            Type::Record(own)
        }
        other => {
            let short = other.rsplit('.').next().unwrap_or(other);
            named.get(short).cloned().ok_or(format!("the schema has no type `{other}`"))?
        }
    };
    if let (Some(name), Type::Fixed(_) | Type::Enum(_) | Type::Record(_)) = (word("name"), &made) {
        let short = name.rsplit('.').next().unwrap_or(name);
        named.insert(short.to_owned(), made.clone());
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number as Avro writes it.
    fn long(n: i64) -> Vec<u8> {
        let mut value = ((n << 1) ^ (n >> 63)) as u64;
        let mut out = Vec::new();
        loop {
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                out.push(byte);
                return out;
            }
            out.push(byte | 0x80);
        }
    }

    fn text(text: &str) -> Vec<u8> {
        [long(text.len() as i64), text.as_bytes().to_vec()].concat()
    }

    fn file(schema: &str, codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
        let mut out = [
            MAGIC.to_vec(),
            long(2),
            text("avro.schema"),
            text(schema),
            text("avro.codec"),
            text(codec),
            long(0),
        ]
        .concat();
        out.extend([7u8; MARKER]);
        for (count, bytes) in blocks {
            out.extend([long(*count), long(bytes.len() as i64), bytes.clone(), vec![7u8; MARKER]].concat());
        }
        out
    }

    fn all(bytes: &[u8]) -> Read<Vec<String>> {
        let mut container = Container::open(bytes)?;
        let mut out = Vec::new();
        while let Some(block) = container.next(1 << 20)? {
            container.each(&block, |datum| out.push(format!("{datum:?}")))?;
        }
        Ok(out)
    }

    const SCHEMA: &str = r#"{"type":"record","name":"R","namespace":"a.b","fields":[
        {"name":"n","type":"long"},{"name":"m","type":{"type":"map","values":["long","string","bytes","null"]}},
        {"name":"l","type":{"type":"array","items":"boolean"}},{"name":"x","type":{"type":"fixed","name":"F","size":2}},
        {"name":"y","type":"a.b.F"},{"name":"e","type":{"type":"enum","name":"E","symbols":["P","Q"]}},{"name":"d","type":"double"}]}"#;

    fn record() -> Vec<u8> {
        [
            long(-3),
            long(-2),
            long(11),
            text("a"),
            long(0),
            long(64),
            text("b"),
            long(1),
            text("t"),
            long(0),
            long(2),
            vec![1, 0],
            long(0),
            b"xy".to_vec(),
            b"zz".to_vec(),
            long(1),
            1.5f64.to_le_bytes().to_vec(),
        ]
        .concat()
    }

    #[test]
    fn every_type_is_read() {
        let found = all(&file(SCHEMA, "null", &[(2, [record(), record()].concat()), (1, record())])).unwrap();
        assert_eq!(found.len(), 3);
        for word in [
            "Long(-3)",
            "(\"a\", Long(64))",
            "(\"b\", Text(\"t\"))",
            "[Bool(true), Bool(false)]",
            "Double(1.5)",
        ] {
            assert!(found[0].contains(word), "{word} in {}", found[0]);
        }
    }

    #[test]
    fn a_file_is_cut_behind_whole_blocks_and_each_part_is_read_under_the_header() {
        let blocks = [(2, [record(), record()].concat()), (1, record()), (3, record().repeat(3))];
        let whole = file(SCHEMA, "null", &blocks);
        let header = header_length(&whole);
        let ends: Vec<usize> = (0..=blocks.len()).map(|n| file(SCHEMA, "null", &blocks[..n]).len()).collect();
        assert_eq!(header, ends[0]);
        assert!((0..header).all(|end| header_length(&whole[..end]) == 0));
        for end in header..=whole.len() {
            let cut = header + cut_blocks(&whole[..header], &whole[header..end]);
            assert_eq!(Some(&cut), ends.iter().rfind(|e| **e <= end), "{end}");
        }
        let part = [&whole[..header], &whole[ends[1]..ends[3]]].concat();
        assert_eq!(all(&part).unwrap(), all(&whole).unwrap()[2..]);
        // Another marker ends no block of this file.
        let mut bent = whole.clone();
        bent[ends[2] - 1] ^= 1;
        assert_eq!(header + cut_blocks(&whole[..header], &bent[header..]), ends[1]);
    }

    #[test]
    fn what_is_damaged_is_said_and_panics_nowhere() {
        let whole = file(SCHEMA, "null", &[(2, [record(), record()].concat())]);
        for end in MAGIC.len()..whole.len() {
            let cut = all(&whole[..end]);
            // Before the first block is a file without records.
            assert!(cut.is_err() || cut.unwrap().is_empty(), "{end}");
        }
        for at in MAGIC.len()..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bent = whole.clone();
                bent[at] = byte;
                let _ = all(&bent);
            }
        }
        assert!(all(&file(SCHEMA, "snappy", &[])).unwrap_err().contains("`snappy`"));
        assert!(
            all(&file("\"null\"", "null", &[(1 << 40, Vec::new())])).unwrap_err().contains("more records")
        );
        let nested = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(50), "}".repeat(50));
        assert!(all(&file(&nested, "null", &[])).unwrap_err().contains("too deep"));
    }
}

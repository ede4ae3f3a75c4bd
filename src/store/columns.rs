//! Rows as Arrow columns, in the order and the types of a table's schema.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StructBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::{RowKey, Rows};
use crate::model::{Date, RecordHash, Time};
use crate::schema::{Kind, STAMPS, Table};

/// One value of a struct in a list, or of a check.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    Text(Option<&'a str>),
    Int(Option<i64>),
    Time(Option<Time>),
    /// As its hex digits, a text.
    Hash(RecordHash),
}

impl Cell<'_> {
    /// The value as text; times as the microseconds that a table keeps.
    pub(super) fn digestible(&self) -> String {
        match self {
            Cell::Text(text) => text.map(|t| format!("t{t}")),
            Cell::Int(int) => int.map(|i| format!("i{i}")),
            Cell::Time(time) => time.map(|t| format!("i{}", t.unix_micros())),
            Cell::Hash(hash) => Some(format!("t{hash}")),
        }
        .unwrap_or_default()
    }
}

/// The Arrow schema of a table's files: all columns but the partition.
pub fn arrow_schema(table: &Table) -> SchemaRef {
    let field = |c: &crate::schema::Column| Field::new(&c.name, data_type(&c.kind), !c.required);
    Arc::new(Schema::new(table.columns.iter().map(field).collect::<Fields>()))
}

fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Bigint => DataType::Int64,
        Kind::Boolean => DataType::Boolean,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Binary => DataType::Binary,
        Kind::TextList => DataType::List(element(DataType::Utf8)),
        Kind::StructList(fields) => DataType::List(element(DataType::Struct(struct_fields(fields)))),
    }
}

/// Delta's readers expect the items of a list under this name.
fn element(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", item, true))
}

fn struct_fields(fields: &[(String, Kind)]) -> Fields {
    fields.iter().map(|(name, kind)| Field::new(name, data_type(kind), true)).collect()
}

enum Column {
    Text(StringBuilder),
    Int(Int64Builder),
    Flag(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
    Texts(ListBuilder<StringBuilder>),
    Items(ListBuilder<StructBuilder>),
}

/// Rows of one table under construction: values are given column by column, then the row is ended.
pub struct Builder {
    table: &'static Table,
    columns: Vec<Column>,
    at: usize,
    keys: Vec<RowKey>,
    dates: Vec<Option<Date>>,
}

impl Builder {
    pub fn new(table: &'static Table) -> Builder {
        let own = &table.columns[..table.columns.len() - STAMPS.len()];
        let columns = own.iter().map(|c| column(&c.kind)).collect();
        Builder { table, columns, at: 0, keys: Vec::new(), dates: Vec::new() }
    }

    fn next(&mut self) -> &mut Column {
        self.at += 1;
        let (table, at) = (self.table, self.at);
        self.columns.get_mut(at - 1).unwrap_or_else(|| unreachable!("`{}` has no column {at}", table.name))
    }

    fn wrong(&self) -> ! {
        let name = &self.table.columns[self.at - 1].name;
        unreachable!("`{}.{name}` has another type", self.table.name)
    }

    pub fn text(&mut self, value: Option<&str>) {
        match self.next() {
            Column::Text(b) => b.append_option(value),
            _ => self.wrong(),
        }
    }

    pub fn int(&mut self, value: Option<i64>) {
        match self.next() {
            Column::Int(b) => b.append_option(value),
            _ => self.wrong(),
        }
    }

    pub fn flag(&mut self, value: Option<bool>) {
        match self.next() {
            Column::Flag(b) => b.append_option(value),
            _ => self.wrong(),
        }
    }

    /// A time, to the microsecond.
    pub fn time(&mut self, value: Option<Time>) {
        match self.next() {
            Column::Time(b) => b.append_option(value.map(Time::unix_micros)),
            _ => self.wrong(),
        }
    }

    pub fn bytes(&mut self, value: Option<&[u8]>) {
        match self.next() {
            Column::Bytes(b) => b.append_option(value),
            _ => self.wrong(),
        }
    }

    pub fn hash(&mut self, value: &RecordHash) {
        let hex = value.hex();
        self.text(std::str::from_utf8(&hex).ok());
    }

    pub fn texts<'t>(&mut self, values: impl Iterator<Item = &'t str>) {
        match self.next() {
            Column::Texts(b) => b.append_value(values.map(Some)),
            _ => self.wrong(),
        }
    }

    /// A list of structs, each given as its fields in order.
    pub fn items<'t, const N: usize>(&mut self, values: impl Iterator<Item = [Cell<'t>; N]>) {
        let Column::Items(list) = self.next() else { self.wrong() };
        for cells in values {
            let item = list.values();
            for (i, cell) in cells.into_iter().enumerate() {
                match cell {
                    Cell::Text(v) => item.field_builder::<StringBuilder>(i).map(|b| b.append_option(v)),
                    Cell::Hash(v) => item.field_builder::<StringBuilder>(i).map(|b| {
                        b.append_value(std::str::from_utf8(&v.hex()).unwrap_or_default());
                    }),
                    Cell::Int(v) => item.field_builder::<Int64Builder>(i).map(|b| b.append_option(v)),
                    Cell::Time(v) => item
                        .field_builder::<TimestampMicrosecondBuilder>(i)
                        .map(|b| b.append_option(v.map(Time::unix_micros))),
                }
                .unwrap_or_else(|| unreachable!("field {i} of a list has another type"));
            }
            item.append(true);
        }
        list.append(true);
    }

    /// Ends a row: its key, and its day in a partitioned table.
    pub fn end_row(&mut self, key: RowKey, date: Option<Date>) {
        debug_assert_eq!(self.at, self.columns.len(), "`{}`: a row is not complete", self.table.name);
        self.at = 0;
        self.keys.push(key);
        self.dates.push(date.filter(|_| self.table.partitioned));
    }

    /// The rows; `None` when there are none.
    pub fn finish(mut self) -> Option<Rows> {
        if self.keys.is_empty() {
            return None;
        }
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(finish).collect();
        let fields: Fields = arrow_schema(self.table).fields().iter().take(arrays.len()).cloned().collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .unwrap_or_else(|e| unreachable!("rows of `{}` do not fit their schema: {e}", self.table.name));
        Some(Rows { table: self.table, batch, keys: self.keys, dates: self.dates })
    }
}

fn column(kind: &Kind) -> Column {
    match kind {
        Kind::Text => Column::Text(StringBuilder::new()),
        Kind::Bigint => Column::Int(Int64Builder::new()),
        Kind::Boolean => Column::Flag(BooleanBuilder::new()),
        Kind::Timestamp => Column::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
        Kind::Binary => Column::Bytes(BinaryBuilder::new()),
        Kind::TextList => {
            Column::Texts(ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8)))
        }
        Kind::StructList(fields) => {
            let fields = struct_fields(fields);
            let builders = fields
                .iter()
                .map(|f| match f.data_type() {
                    DataType::Int64 => Box::new(Int64Builder::new()) as Box<dyn arrow::array::ArrayBuilder>,
                    DataType::Timestamp(..) => {
                        Box::new(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
                    }
                    _ => Box::new(StringBuilder::new()),
                })
                .collect();
            let item = element(DataType::Struct(fields.clone()));
            Column::Items(ListBuilder::new(StructBuilder::new(fields, builders)).with_field(item))
        }
    }
}

fn finish(column: &mut Column) -> ArrayRef {
    match column {
        Column::Text(b) => Arc::new(b.finish()),
        Column::Int(b) => Arc::new(b.finish()),
        Column::Flag(b) => Arc::new(b.finish()),
        Column::Time(b) => Arc::new(b.finish()),
        Column::Bytes(b) => Arc::new(b.finish()),
        Column::Texts(b) => Arc::new(b.finish()),
        Column::Items(b) => Arc::new(b.finish()),
    }
}

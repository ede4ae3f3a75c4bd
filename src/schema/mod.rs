//! The tables, read from schemas/.

//! Cases of the whole engine.

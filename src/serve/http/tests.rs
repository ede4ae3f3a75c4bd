//! Checks of the whole door in one process.

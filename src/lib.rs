//! agentrail: which agent did this, as whom, and how sure are we?

pub mod attribute;
pub mod decode;
pub mod model;
pub mod schema;

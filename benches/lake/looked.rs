//! A lake whose copied rows count as looked at.

use agentrail::store::Lake;

use super::lake::Outcome;

/// Where the reviser keeps how far it has looked.
const LOOKED_AT: &str = "revise";

/// Takes all that is stored by now for looked at; the reviser must have been at the lake before.
pub async fn looked_at_all(lake: &Lake) -> Outcome<()> {
    // What was committed in the last minute is looked at once more.
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    let mut cursor: serde_json::Value =
        serde_json::from_str(&lake.position(LOOKED_AT).ok_or("nothing was looked at")?)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros() as i64;
    let known = cursor["known"].as_object_mut().ok_or("no cursor")?;
    known.values_mut().for_each(|micros| *micros = now.into());
    lake.save_position(LOOKED_AT, &cursor.to_string()).await?;
    Ok(())
}

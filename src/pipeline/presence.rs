//! Who was in a pool when this process began, so that the first list it sees tells who left.

use futures::TryStreamExt as _;

use super::paging::Attributor;
use super::stored::{bigint, quoted, session, text, time};
use crate::model::{Agent, Body, Fact, Heard};
use crate::query::QueryError;
use crate::store::Lake;

impl Attributor {
    /// Tells the engine who is in the pool that a fact lists, the first time that it is listed.
    pub async fn tell_who_is_there(&mut self, fact: &Fact<'_>, lake: &Lake) -> Result<(), QueryError> {
        let Body::Heard(Heard { listed: Some(_), pool_id: Some(pool), .. }) = &fact.body else {
            return Ok(());
        };
        let organization = self.engine.label(&fact.organization);
        let names = [&organization.name, &organization.id].into_iter().flatten();
        let names: Vec<String> = names.map(|name| quoted(name)).collect();
        if names.is_empty() || !self.listed.insert((names.concat(), *pool)) {
            return Ok(());
        }
        let sql = format!(
            "select * from ( \
               select *, row_number() over (partition by agent_id order by observed desc, event is null) as nth \
               from lake.agents where pool_id = {pool} and deployment_group_id is null \
                 and (organization in ({names}) or organization_id in ({names})) \
             ) where nth = 1 and event is null",
            names = names.join(",")
        );
        let mut stream = session(lake, &[])?.sql(&sql).await?.stream;
        while let Some(batch) = stream.try_next().await? {
            for row in 0..batch.num_rows() {
                let text = |name: &str| text(&batch, row, name);
                let agent = Agent {
                    agent_id: bigint(&batch, row, "agent_id").unwrap_or_default(),
                    name: text("name"),
                    pool_id: Some(*pool),
                    version: text("version"),
                    os: text("os"),
                    client_id: text("client_id"),
                    key_fingerprint: text("key_fingerprint"),
                    machine: text("machine"),
                    ..Agent::default()
                };
                let seen = time(&batch, row, "observed").unwrap_or_default();
                self.engine.is_there(&organization, agent, seen);
            }
        }
        Ok(())
    }
}

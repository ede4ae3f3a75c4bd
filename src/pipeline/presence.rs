//! Who was in a pool when this process began, so that the first list it sees tells who left.

use super::paging::Attributor;
use super::stored::{agent, each_batch, session, time};
use crate::model::Org;
use crate::query::QueryError;
use crate::query::quoted;
use crate::store::Lake;

impl Attributor {
    /// Tells the engine who is in a pool, the first time that its agents are listed.
    pub async fn tell_who_is_there(
        &mut self,
        organization: &Org,
        pool: i64,
        lake: &Lake,
    ) -> Result<(), QueryError> {
        let organization = self.engine.label(organization);
        let names = [&organization.name, &organization.id].into_iter().flatten();
        let names: Vec<String> = names.map(|name| quoted(name)).collect();
        if names.is_empty() || !self.listed.insert((names.concat(), pool)) {
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
        each_batch(&session(lake, &[])?, &sql, |batch| {
            for row in 0..batch.num_rows() {
                let seen = time(batch, row, "observed").unwrap_or_default();
                self.engine.is_there(&organization, agent(batch, row), seen);
            }
        })
        .await
    }
}

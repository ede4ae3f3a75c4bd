//! The views of the catalogue: each is planned when a statement first names it.
//!
//! A view is read with those it reads, and some are large; most statements name few, and those of the
//! pipeline none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::internal_datafusion_err;
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use super::catalogue::{Catalogue, Query};

/// Plans text in the session that these views are part of; it does not hold the session.
pub(super) struct Planner(Box<dyn Fn() -> Option<SessionState> + Send + Sync>);

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Planner")
    }
}

impl Planner {
    pub fn new(context: &SessionContext) -> Planner {
        let state = context.state_weak_ref();
        Planner(Box::new(move || Some(state.upgrade()?.read().clone())))
    }

    pub async fn plan(&self, query: &Query) -> Result<LogicalPlan> {
        let state = (self.0)().ok_or_else(|| internal_datafusion_err!("the session is gone"))?;
        let named = |e: DataFusionError| e.context(format!("read the query `{}`", query.name));
        state.create_logical_plan(&query.sql).await.map_err(named)
    }
}

/// The views without parameters, by name.
#[derive(Debug)]
pub(super) struct Views {
    planner: Planner,
    planned: Mutex<HashMap<String, Arc<dyn TableProvider>>>,
}

impl Views {
    pub fn new(planner: Planner) -> Views {
        Views { planner, planned: Mutex::default() }
    }

    /// Has a table under a name of its own, in place of what had that name before.
    pub fn lend(&self, name: &str, table: Arc<dyn TableProvider>) {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.insert(name.to_owned(), table);
    }
}

fn views() -> impl Iterator<Item = &'static Query> {
    Catalogue::embedded().views().iter().filter(|view| view.params.is_empty())
}

#[async_trait]
impl SchemaProvider for Views {
    fn table_names(&self) -> Vec<String> {
        views().map(|view| view.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let planned = || self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = planned().get(name) {
            return Ok(Some(known.clone()));
        }
        let Some(view) = views().find(|view| view.name == name) else { return Ok(None) };
        let plan = self.planner.plan(view).await?;
        let table: Arc<dyn TableProvider> = Arc::new(ViewTable::new(plan, Some(view.sql.clone())));
        planned().insert(name.to_owned(), table.clone());
        Ok(Some(table))
    }

    fn table_exist(&self, name: &str) -> bool {
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.contains_key(name) || views().any(|view| view.name == name)
    }
}

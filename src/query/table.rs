//! One pinned table as DataFusion reads it: a Parquet scan over the files that can match.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics, ToDFSchema as _};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use object_store::path::Path as Location;

use super::Pinned;
use super::pruning::{matching, partition_type};
use crate::schema::{DataFile, FileSet, PARTITION};

/// How the URL of a folder on the local disk begins.
const LOCAL: &str = "file://";

/// The store that holds the files: what their URL says before any path.
pub(super) fn store_url(files: &FileSet) -> Result<ObjectStoreUrl> {
    match files.root.split_once("://") {
        Some((scheme, rest)) if !files.root.starts_with(LOCAL) => {
            ObjectStoreUrl::parse(format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()))
        }
        _ => Ok(ObjectStoreUrl::local_filesystem()),
    }
}

/// A table at one version.
#[derive(Debug)]
pub(super) struct PinnedTable {
    pinned: Pinned,
    /// File columns, then the partition.
    schema: SchemaRef,
}

impl PinnedTable {
    pub fn new(pinned: Pinned) -> PinnedTable {
        let mut fields = pinned.schema.fields().to_vec();
        if pinned.files.table.partitioned {
            fields.push(Arc::new(Field::new(PARTITION, partition_type(), true)));
        }
        PinnedTable { schema: Arc::new(Schema::new(fields)), pinned }
    }

    /// Where a file is in the store that holds it.
    fn location(&self, file: &DataFile) -> Result<Location, object_store::path::Error> {
        let root = &self.pinned.files.root;
        if let Some(folder) = root.strip_prefix(LOCAL) {
            return Location::from_absolute_path(Path::new(folder).join(&file.path));
        }
        let folder = root.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, f)| f);
        // The folder is written as in a URL, the file as it is.
        let folder = Location::from_url_path(folder)?;
        Ok(file.path.split('/').fold(folder, |path, part| path.join(part)))
    }

    fn partitioned_file(&self, file: &DataFile) -> Result<PartitionedFile> {
        let location = self.location(file).map_err(|e| DataFusionError::External(e.into()))?;
        let meta = ObjectMeta {
            location,
            last_modified: Default::default(),
            size: file.bytes,
            e_tag: None,
            version: None,
        };
        let mut out = PartitionedFile::new_from_meta(meta);
        if self.pinned.files.table.partitioned {
            out.partition_values = vec![ScalarValue::Date32(file.date.map(|d| d.0))];
        }
        Ok(out)
    }
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let set = &self.pinned.files;
        let predicate = match conjunction(filters.to_vec()) {
            Some(expr) => Some(state.create_physical_expr(expr, &self.schema.clone().to_dfschema()?)?),
            None => None,
        };
        let files = match &predicate {
            Some(predicate) => matching(set, &self.schema, predicate)?,
            None => set.files.to_vec(),
        };
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => self.schema.clone(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let partition: Vec<Arc<Field>> = self.schema.fields()[self.pinned.schema.fields().len()..].to_vec();
        let runtime = state.runtime_env();
        let (store, ends) =
            (runtime.object_store(store_url(set)?)?, runtime.cache_manager.get_file_metadata_cache());
        // What is asked for beyond the choice of files comes from the filter above: given here too, it is worked out twice.
        let source = ParquetSource::new(
            TableSchema::builder(self.pinned.schema.clone()).with_table_partition_cols(partition).build(),
        )
        .with_table_parquet_options(state.default_table_options().parquet)
        .with_pushdown_filters(true)
        // In the order of the statement: the engine's own begins with the smallest column, which is one of few values.
        // Each filter that lets many single rows through makes the next column slower to read than the whole of it.
        .with_reorder_filters(false)
        .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, ends)))
        .with_enable_page_index(true);
        let mut groups = vec![Vec::new(); state.config().target_partitions().clamp(1, files.len())];
        let count = groups.len();
        for (i, file) in files.iter().enumerate() {
            groups[i % count].push(self.partitioned_file(file)?);
        }
        // Of the sides of a join the one with fewer rows is held in memory; of two that tell nothing it is the left
        // one, which has the events.
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(files.iter().map(|file| file.rows as usize).sum());
        let config = FileScanConfigBuilder::new(store_url(set)?, Arc::new(source))
            .with_statistics(statistics)
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

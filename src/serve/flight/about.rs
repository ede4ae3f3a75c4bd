//! What the server is and can, in the numbers of Flight SQL, and its types.

use std::sync::LazyLock;

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlTransactionIsolationLevel, SupportedSqlGrammar,
    XdbcDataType,
};

use super::MOST_MESSAGE;
use super::held::PREPARED_TIME;

const TEXTS: [(SqlInfo, &str); 8] = [
    (SqlInfo::FlightSqlServerName, "agentrail"),
    (SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION")),
    (SqlInfo::SqlIdentifierQuoteChar, "\""),
    (SqlInfo::SqlSearchStringEscape, "\\"),
    (SqlInfo::SqlExtraNameCharacters, ""),
    (SqlInfo::SqlSchemaTerm, "schema"),
    (SqlInfo::SqlProcedureTerm, "procedure"),
    (SqlInfo::SqlCatalogTerm, "catalog"),
];

const CAN: [SqlInfo; 13] = [
    SqlInfo::FlightSqlServerReadOnly,
    SqlInfo::FlightSqlServerSql,
    SqlInfo::FlightSqlServerCancel,
    SqlInfo::SqlAllTablesAreSelectable,
    SqlInfo::SqlSupportsColumnAliasing,
    SqlInfo::SqlNullPlusNullIsNull,
    SqlInfo::SqlSupportsTableCorrelationNames,
    SqlInfo::SqlSupportsExpressionsInOrderBy,
    SqlInfo::SqlSupportsOrderByUnrelated,
    SqlInfo::SqlSupportsNonNullableColumns,
    SqlInfo::SqlCatalogAtStart,
    SqlInfo::SqlCorrelatedSubqueriesSupported,
    SqlInfo::SqlMaxRowSizeIncludesBlobs,
];

const CANNOT: [SqlInfo; 19] = [
    SqlInfo::FlightSqlServerSubstrait,
    SqlInfo::FlightSqlServerBulkIngestion,
    SqlInfo::FlightSqlServerIngestTransactionsSupported,
    SqlInfo::SqlDdlCatalog,
    SqlInfo::SqlDdlSchema,
    SqlInfo::SqlDdlTable,
    SqlInfo::SqlSupportsDifferentTableCorrelationNames,
    SqlInfo::SqlSupportsLikeEscapeClause,
    SqlInfo::SqlSupportsIntegrityEnhancementFacility,
    SqlInfo::SqlSelectForUpdateSupported,
    SqlInfo::SqlTransactionsSupported,
    SqlInfo::SqlDataDefinitionCausesTransactionCommit,
    SqlInfo::SqlDataDefinitionsInTransactionsIgnored,
    SqlInfo::SqlBatchUpdatesSupported,
    SqlInfo::SqlSavepointsSupported,
    SqlInfo::SqlNamedParametersSupported,
    SqlInfo::SqlLocatorsUpdateCopy,
    SqlInfo::SqlStoredProceduresSupported,
    SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
];

/// Numbers without a bound are 0.
const UNBOUNDED: [SqlInfo; 19] = [
    SqlInfo::SqlMaxBinaryLiteralLength,
    SqlInfo::SqlMaxCharLiteralLength,
    SqlInfo::SqlMaxColumnNameLength,
    SqlInfo::SqlMaxColumnsInGroupBy,
    SqlInfo::SqlMaxColumnsInIndex,
    SqlInfo::SqlMaxColumnsInOrderBy,
    SqlInfo::SqlMaxColumnsInSelect,
    SqlInfo::SqlMaxColumnsInTable,
    SqlInfo::SqlMaxConnections,
    SqlInfo::SqlMaxCursorNameLength,
    SqlInfo::SqlMaxIndexLength,
    SqlInfo::SqlDbSchemaNameLength,
    SqlInfo::SqlMaxProcedureNameLength,
    SqlInfo::SqlMaxCatalogNameLength,
    SqlInfo::SqlMaxRowSize,
    SqlInfo::SqlMaxStatements,
    SqlInfo::SqlMaxTableNameLength,
    SqlInfo::SqlMaxTablesInSelect,
    SqlInfo::SqlMaxUsernameLength,
];

/// Ordinals, and sets of ordinals as bits.
const NUMBERS: [(SqlInfo, i32); 20] = [
    (SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32),
    (SqlInfo::FlightSqlServerStatementTimeout, PREPARED_TIME.as_millis() as i32),
    (SqlInfo::FlightSqlServerTransactionTimeout, 0),
    (SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32),
    (SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32),
    (SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32),
    (SqlInfo::SqlSupportedGroupBy, 1 << SqlSupportedGroupBy::SqlGroupByUnrelated as i32),
    (
        SqlInfo::SqlSupportedGrammar,
        1 << SupportedSqlGrammar::SqlMinimumGrammar as i32 | 1 << SupportedSqlGrammar::SqlCoreGrammar as i32,
    ),
    (SqlInfo::SqlAnsi92SupportedLevel, 1),
    (SqlInfo::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32),
    (SqlInfo::SqlSchemasSupportedActions, 0),
    (SqlInfo::SqlCatalogsSupportedActions, 0),
    (SqlInfo::SqlSupportedPositionedCommands, 0),
    (
        SqlInfo::SqlSupportedSubqueries,
        1 << SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32
            | 1 << SqlSupportedSubqueries::SqlSubqueriesInExists as i32
            | 1 << SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
    ),
    (
        SqlInfo::SqlSupportedUnions,
        1 << SqlSupportedUnions::SqlUnion as i32 | 1 << SqlSupportedUnions::SqlUnionAll as i32,
    ),
    (SqlInfo::SqlDefaultTransactionIsolation, SqlTransactionIsolationLevel::SqlTransactionNone as i32),
    (
        SqlInfo::SqlSupportedTransactionsIsolationLevels,
        1 << SqlTransactionIsolationLevel::SqlTransactionNone as i32,
    ),
    (SqlInfo::SqlSupportedResultSetTypes, 1 << SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32),
    (SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, READ_ONLY),
    (SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, READ_ONLY),
];
const READ_ONLY: i32 = 1 << SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32;

/// Words that are quoted where they are names.
const KEYWORDS: [&str; 12] = [
    "ANTI",
    "EXCLUDE",
    "FETCH",
    "FILTER",
    "ILIKE",
    "LIMIT",
    "OFFSET",
    "QUALIFY",
    "RECURSIVE",
    "SEMI",
    "UNNEST",
    "WINDOW",
];
const NUMERIC: [&str; 14] = [
    "ABS", "CEIL", "EXP", "FLOOR", "GREATEST", "LEAST", "LN", "LOG10", "MOD", "POWER", "ROUND", "SIGN",
    "SQRT", "TRUNC",
];
const STRING: [&str; 14] = [
    "CHAR_LENGTH",
    "CONCAT",
    "JSON_MEMBER",
    "LEFT",
    "LOWER",
    "LPAD",
    "LTRIM",
    "REGEXP_LIKE",
    "REPLACE",
    "RIGHT",
    "RTRIM",
    "SPLIT_PART",
    "SUBSTR",
    "UPPER",
];
const TIMES: [&str; 7] =
    ["CURRENT_DATE", "DATE_BIN", "DATE_PART", "DATE_TRUNC", "EXTRACT", "NOW", "TO_TIMESTAMP"];

pub(super) fn server() -> Result<&'static SqlInfoData, FlightError> {
    static SERVER: LazyLock<Option<SqlInfoData>> = LazyLock::new(|| {
        let mut info = SqlInfoDataBuilder::new();
        TEXTS.into_iter().for_each(|(name, text)| info.append(name, text));
        CAN.into_iter().for_each(|name| info.append(name, true));
        CANNOT.into_iter().for_each(|name| info.append(name, false));
        UNBOUNDED.into_iter().for_each(|name| info.append(name, 0_i64));
        info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
        info.append(SqlInfo::SqlMaxStatementLength, MOST_MESSAGE as i64);
        NUMBERS.into_iter().for_each(|(name, number)| info.append(name, number));
        info.append(SqlInfo::SqlKeywords, &KEYWORDS[..]);
        info.append(SqlInfo::SqlNumericFunctions, &NUMERIC[..]);
        info.append(SqlInfo::SqlStringFunctions, &STRING[..]);
        info.append(SqlInfo::SqlDatetimeFunctions, &TIMES[..]);
        info.append(SqlInfo::SqlSystemFunctions, &[][..] as &[&str]);
        info.build().ok()
    });
    SERVER.as_ref().ok_or_else(|| FlightError::protocol("what the server can cannot be said"))
}

pub(super) fn types() -> Result<&'static XdbcTypeInfoData, FlightError> {
    static TYPES: LazyLock<Option<XdbcTypeInfoData>> = LazyLock::new(|| {
        let mut types = XdbcTypeInfoDataBuilder::new();
        let all = [
            ("BOOLEAN", XdbcDataType::XdbcBit, 1, None),
            ("INTEGER", XdbcDataType::XdbcInteger, 10, None),
            ("BIGINT", XdbcDataType::XdbcBigint, 19, None),
            ("DOUBLE", XdbcDataType::XdbcDouble, 15, None),
            ("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX, Some("'")),
            ("VARBINARY", XdbcDataType::XdbcVarbinary, i32::MAX, Some("X'")),
            ("DATE", XdbcDataType::XdbcDate, 10, Some("DATE '")),
            ("TIMESTAMP", XdbcDataType::XdbcTimestamp, 26, Some("TIMESTAMP '")),
        ];
        for (name, kind, size, prefix) in all {
            let is_number = prefix.is_none() && kind != XdbcDataType::XdbcBit;
            types.append(XdbcTypeInfo {
                type_name: name.to_owned(),
                data_type: kind,
                column_size: Some(size),
                literal_prefix: prefix.map(str::to_owned),
                literal_suffix: prefix.map(|_| "'".to_owned()),
                nullable: Nullable::NullabilityNullable,
                case_sensitive: kind == XdbcDataType::XdbcVarchar,
                searchable: Searchable::Full,
                unsigned_attribute: is_number.then_some(false),
                auto_increment: Some(false),
                local_type_name: Some(name.to_owned()),
                sql_data_type: kind,
                num_prec_radix: is_number.then_some(10),
                ..XdbcTypeInfo::default()
            });
        }
        types.build().ok()
    });
    TYPES.as_ref().ok_or_else(|| FlightError::protocol("the types of the server cannot be said"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_said_once() {
        let info = server().unwrap().record_batch(None).unwrap();
        let lists = TEXTS.len() + CAN.len() + CANNOT.len() + UNBOUNDED.len() + NUMBERS.len();
        // Those that are appended one by one.
        assert_eq!(info.num_rows(), lists + 7);
        assert_eq!(types().unwrap().record_batch(None).unwrap().num_rows(), 8);
    }
}

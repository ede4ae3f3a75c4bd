//! What a REST address says of the body behind it: some bodies name their pool nowhere else.

use crate::model::canonical;

/// A REST address, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    /// As it came.
    pub url: Option<String>,
    pub organization: Option<String>,
    /// The project's id; a project named by its name is not one.
    pub project_id: Option<String>,
    pub pool_id: Option<i64>,
    pub run_id: Option<i64>,
    /// `build` or `release`.
    pub run_kind: Option<&'static str>,
    pub deployment_group_id: Option<i64>,
    /// How many records were asked for at most.
    pub top: Option<u64>,
    /// Whether it asks for a later page of a list.
    pub is_continued: bool,
    /// The path after `_apis/`, in lower case.
    pub path: String,
}

impl Address {
    pub fn parse(url: &str) -> Address {
        let mut address = Address { url: Some(url.to_owned()), ..Address::default() };
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        for (name, value) in query.split(['&', '#']).filter_map(|pair| pair.split_once('=')) {
            match name.trim_start_matches("%24").trim_start_matches('$').to_ascii_lowercase().as_str() {
                "top" => address.top = value.parse().ok(),
                "continuationtoken" => address.is_continued = true,
                _ => {}
            }
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let mut parts = rest.split('/').filter(|p| !p.is_empty());
        let host = parts.next().unwrap_or_default();
        let mut before: Vec<&str> = Vec::new();
        let mut after: Vec<&str> = Vec::new();
        let mut api = false;
        for part in parts {
            if part.eq_ignore_ascii_case("_apis") || part.eq_ignore_ascii_case("_build") {
                api = true;
            } else if api {
                after.push(part);
            } else {
                before.push(part);
            }
        }
        // https://dev.azure.com/{organization}/{project}/ or https://{organization}.visualstudio.com/{project}/
        let mut before = before.into_iter();
        let legacy = host.strip_suffix(".visualstudio.com").and_then(|h| h.split('.').next());
        address.organization = legacy.or_else(|| before.next()).map(str::to_owned);
        address.project_id =
            before.next().filter(|p| crate::model::is_guid(p)).and_then(canonical).map(|p| p.into_owned());
        address.path = after.join("/").to_ascii_lowercase();
        let number = |name: &str| {
            let at = after.iter().position(|p| p.eq_ignore_ascii_case(name))?;
            after.get(at + 1)?.parse().ok()
        };
        address.pool_id = number("pools").or_else(|| number("elasticpools"));
        address.deployment_group_id = number("deploymentgroups");
        if let Some(id) = number("builds").or_else(|| number("runs")) {
            (address.run_id, address.run_kind) = (Some(id), Some("build"));
        } else if let Some(id) = number("releases") {
            (address.run_id, address.run_kind) = (Some(id), Some("release"));
        }
        address
    }

    /// Whether the path holds this segment.
    pub fn names(&self, segment: &str) -> bool {
        self.path.split('/').any(|p| p == segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_apart() {
        let a = Address::parse(
            "https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents?includeCapabilities=true",
        );
        assert_eq!((a.organization.as_deref(), a.pool_id), (Some("contoso"), Some(44)));
        assert!(a.names("agents") && !a.is_continued);
        let a = Address::parse("https://dev.azure.com/c/_apis/x?%24top=25&continuationToken=7#a");
        assert_eq!((a.top, a.is_continued, a.path.as_str()), (Some(25), true, "x"));
        let a = Address::parse(
            "https://contoso.visualstudio.com/1858395a-257e-4efd-bbc5-eb618128452b/_apis/build/Builds/673584/Timeline",
        );
        assert_eq!(
            (a.organization.as_deref(), a.run_id, a.run_kind),
            (Some("contoso"), Some(673_584), Some("build"))
        );
        assert_eq!(a.project_id.as_deref(), Some("1858395a-257e-4efd-bbc5-eb618128452b"));
        assert_eq!(Address::parse("").organization, None);
        assert_eq!(Address::parse("://?///").organization, None);
    }
}

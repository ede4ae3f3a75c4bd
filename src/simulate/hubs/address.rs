//! Which entity an address names, in every spelling the clients use.

/// What a link attaches to, or what a token is for.
///
/// Names of entities compare without regard to case, so they are kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// Where tokens are put.
    Cbs,
    /// Where properties are read.
    Management,
    /// A hub, which spreads what is sent to it over its partitions.
    Hub { hub: String },
    /// One partition, as a producer names it.
    Inlet { hub: String, partition: String },
    /// One partition, as a reader of a consumer group names it.
    Outlet { hub: String, group: String, partition: String },
}

impl Node {
    /// `amqps://host/hub/...`, `sb://host/hub/...` and `hub/...` are the same to the service.
    pub fn parse(address: &str) -> Option<Self> {
        let path = path(address);
        let parts: Vec<&str> = path.split('/').collect();
        Some(match parts.as_slice() {
            ["$cbs"] => Self::Cbs,
            ["$management"] | [_, "$management"] => Self::Management,
            [hub] if !hub.is_empty() => Self::Hub { hub: (*hub).to_owned() },
            [hub, "partitions", partition] => {
                Self::Inlet { hub: (*hub).to_owned(), partition: (*partition).to_owned() }
            }
            [hub, "consumergroups", group, "partitions", partition] => Self::Outlet {
                hub: (*hub).to_owned(),
                group: (*group).to_owned(),
                partition: (*partition).to_owned(),
            },
            _ => return None,
        })
    }

    /// The hub that the entity belongs to.
    pub fn hub(&self) -> Option<&str> {
        match self {
            Self::Cbs | Self::Management => None,
            Self::Hub { hub } | Self::Inlet { hub, .. } | Self::Outlet { hub, .. } => Some(hub),
        }
    }

    /// The partition that the entity is, if it is one.
    pub fn partition(&self) -> Option<&str> {
        match self {
            Self::Inlet { partition, .. } | Self::Outlet { partition, .. } => Some(partition),
            _ => None,
        }
    }

    /// The path of the entity, as the function `path` spells it.
    pub fn path(&self) -> String {
        match self {
            Self::Cbs => "$cbs".to_owned(),
            Self::Management => "$management".to_owned(),
            Self::Hub { hub } => hub.clone(),
            Self::Inlet { hub, partition } => format!("{hub}/partitions/{partition}"),
            Self::Outlet { hub, group, partition } => {
                format!("{hub}/consumergroups/{group}/partitions/{partition}")
            }
        }
    }
}

/// The path of an address or audience: without scheme and host, without empty parts, in lower case.
pub fn path(address: &str) -> String {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => address,
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.join("/").to_ascii_lowercase()
}

/// Whether a right on `audience` is also one on `path`: on itself and on all below it.
pub fn covers(audience: &str, path: &str) -> bool {
    audience.is_empty()
        || path.strip_prefix(audience).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_names_the_same_entity() {
        let outlet =
            Node::Outlet { hub: "h".to_owned(), group: "$default".to_owned(), partition: "0".to_owned() };
        for spelling in [
            "amqps://ns.servicebus.windows.net/h/ConsumerGroups/$Default/Partitions/0",
            "amqp://127.0.0.1:5672/h/ConsumerGroups/$Default/Partitions/0/",
            "H/consumergroups/$Default/Partitions/0",
        ] {
            assert_eq!(Node::parse(spelling), Some(outlet.clone()), "{spelling}");
        }
        assert_eq!(Node::parse("$cbs"), Some(Node::Cbs));
        assert_eq!(Node::parse("h/$management"), Some(Node::Management));
        // The Rust client doubles a slash in what its token is for.
        assert_eq!(path("amqps://ns/h//$management"), "h/$management");
        assert_eq!(Node::parse("amqps://ns/h"), Some(Node::Hub { hub: "h".to_owned() }));
        assert_eq!(
            Node::parse("/h/Partitions/3"),
            Some(Node::Inlet { hub: "h".to_owned(), partition: "3".to_owned() })
        );
    }

    #[test]
    fn what_is_no_entity_is_none() {
        for address in ["", "amqps://ns", "a/b", "a/b/c", "h/consumergroups/g/partitions"] {
            assert_eq!(Node::parse(address), None, "{address}");
        }
    }

    #[test]
    fn a_right_reaches_down_and_not_aside() {
        assert!(covers("", "h"));
        assert!(covers("h", "h/partitions/0"));
        assert!(covers("h", "h"));
        assert!(!covers("h", "h2"));
        assert!(!covers("h/partitions/0", "h"));
    }
}

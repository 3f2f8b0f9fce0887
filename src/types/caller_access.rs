//! Rights of a caller: its role, and the models that it may use.

/// Role of a caller's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Uses the service, and sees its own names, quotas and spending.
    #[default]
    Caller,
    /// Also sees those of all other callers.
    Operator,
}

/// Rights of one caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallerAccess {
    pub role: Role,
    /// Models that the caller may use: configured names, `provider/model`, or `provider/*`. `None`: all.
    pub models: Option<Vec<String>>,
}

impl CallerAccess {
    /// Returns true if the list names this model, or all models of this provider.
    #[must_use]
    pub fn lists_model(&self, name: &str) -> bool {
        let provider = name.split_once('/').map(|(provider, _)| provider);
        self.models.as_ref().is_none_or(|models| {
            models.iter().any(|listed| {
                listed == name || provider.is_some_and(|own| listed.strip_suffix("/*") == Some(own))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_models_or_all_of_a_provider() {
        let access = CallerAccess {
            role: Role::Caller,
            models: Some(vec!["cheap".into(), "openai/a".into(), "local/*".into()]),
        };
        for (name, expected) in [
            ("cheap", true),
            ("openai/a", true),
            ("local/x/y", true),
            ("openai/ab", false),
            ("openai/*", false),
            ("local", false),
            ("locals/x", false),
            ("", false),
        ] {
            assert_eq!(access.lists_model(name), expected, "{name}");
        }
        assert!(CallerAccess::default().lists_model("any/model"));
    }
}

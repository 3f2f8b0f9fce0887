//! Rights of the callers at run time. They change with the callers file.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::types::{CallerAccess, Role};
use throttle::CallerId;

/// Rights of all configured callers. Without callers, requests without a key have all rights.
#[derive(Debug, Default)]
pub struct Permissions(RwLock<BTreeMap<CallerId, Arc<CallerAccess>>>);

impl Permissions {
    /// Replaces the rights of all callers.
    pub fn set(&self, callers: BTreeMap<CallerId, Arc<CallerAccess>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = callers;
    }

    /// Returns the rights of a caller. Among configured callers, one that is not configured any more may use no model, and the
    /// owner of jobs from the time before there were callers all of them; neither is an operator.
    #[must_use]
    pub fn access_of(&self, caller: CallerId) -> Arc<CallerAccess> {
        let callers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        callers.get(&caller).cloned().unwrap_or_else(|| {
            let role = if callers.is_empty() {
                Role::Operator
            } else {
                Role::Caller
            };
            let is_removed = !callers.is_empty() && caller != CallerId::default();
            let models = is_removed.then(Vec::new);
            Arc::new(CallerAccess { role, models })
        })
    }

    /// Returns true if a caller may see what belongs to other callers.
    #[must_use]
    pub fn is_operator(&self, caller: CallerId) -> bool {
        self.access_of(caller).role == Role::Operator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_caller_may_use_no_model() {
        let permissions = Permissions::default();
        let (anyone, removed, other) = (CallerId::default(), CallerId(1), CallerId(2));
        let uses_models = |caller| permissions.access_of(caller).lists_model("openai/a");
        assert!(uses_models(anyone) && permissions.is_operator(anyone));
        let restricted = CallerAccess {
            models: Some(vec!["cheap".to_owned()]),
            ..CallerAccess::default()
        };
        for callers in [vec![removed, other], vec![other]] {
            let access = callers.iter().map(|id| (*id, Arc::new(restricted.clone())));
            permissions.set(access.collect());
            assert!(!uses_models(removed) && !permissions.is_operator(removed));
        }
        assert!(!permissions.access_of(removed).lists_model("cheap"));
        assert!(permissions.access_of(other).lists_model("cheap"));
        assert!(uses_models(anyone) && !permissions.is_operator(anyone));
    }
}

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

    /// Returns the rights of a caller. A caller that is not configured, such as the owner of jobs from the time before there were
    /// callers, may use all models and is no operator.
    #[must_use]
    pub fn access_of(&self, caller: CallerId) -> Arc<CallerAccess> {
        let callers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        callers.get(&caller).cloned().unwrap_or_else(|| {
            let role = if callers.is_empty() {
                Role::Operator
            } else {
                Role::Caller
            };
            Arc::new(CallerAccess { role, models: None })
        })
    }

    /// Returns true if a caller may see what belongs to other callers.
    #[must_use]
    pub fn is_operator(&self, caller: CallerId) -> bool {
        self.access_of(caller).role == Role::Operator
    }
}

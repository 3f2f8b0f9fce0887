//! JSON values that several outcomes share.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use serde_json::Value;
use throttle::PooledMemory;

/// JSON value with its memory, which is held until the last outcome that shares it is dropped. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedValue(Arc<Held>);

#[derive(Debug, Clone, Default)]
struct Held {
    value: Value,
    /// `None`: too small to be counted.
    _memory: Option<PooledMemory>,
}

impl SharedValue {
    /// Creates a value that holds memory.
    #[must_use]
    pub fn new(value: Value, memory: Option<PooledMemory>) -> Self {
        Self(Arc::new(Held {
            value,
            _memory: memory,
        }))
    }

    /// Returns the value to be changed. It is copied first if others share it.
    #[must_use]
    pub fn to_mut(&mut self) -> &mut Value {
        &mut Arc::make_mut(&mut self.0).value
    }

    /// Returns a reference that does not keep the value.
    #[must_use]
    pub fn downgrade(&self) -> WeakValue {
        WeakValue(Arc::downgrade(&self.0))
    }
}

impl From<Value> for SharedValue {
    fn from(value: Value) -> Self {
        Self::new(value, None)
    }
}

impl Deref for SharedValue {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0.value
    }
}

impl PartialEq for SharedValue {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// Reference to a [`SharedValue`] that does not keep it.
#[derive(Debug, Default)]
pub struct WeakValue(Weak<Held>);

impl WeakValue {
    /// Returns the value if an outcome still has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<SharedValue> {
        self.0.upgrade().map(SharedValue)
    }
}

//! Reload of the files with providers' API keys (`api_key_file`, `api_keys_file`): a replaced key is used by the next call, without a
//! restart.

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::reload::watch;
use crate::config::{self, KeyFile};
use crate::provider::HttpProvider;
use throttle::{Limits, PoolId};

/// Provider whose API keys are in a file.
pub struct ProviderKeys {
    /// Name of the provider in the configuration.
    pub name: String,
    pub provider: Arc<HttpProvider>,
    pub pool: PoolId,
    pub file: KeyFile,
    /// Number of keys at the start. It cannot change: each key has limits of its own.
    pub count: usize,
}

/// Keys of a file, or the reason why it is invalid. Results are equal if the keys are.
struct ReadResult(Result<Vec<secrecy::SecretString>, String>);

impl PartialEq for ReadResult {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Ok(a), Ok(b)) => a
                .iter()
                .map(ExposeSecret::expose_secret)
                .eq(b.iter().map(ExposeSecret::expose_secret)),
            (Err(a), Err(b)) => a == b,
            _ => false,
        }
    }
}

impl ProviderKeys {
    /// Puts changed keys in force until the task is dropped. An invalid file is logged and ignored.
    pub async fn watch(self, limits: Limits) {
        let file = self.file.clone();
        let read = move || ReadResult(config::read_key_file(&file));
        watch(read, |read, is_first| match self.check(read) {
            Ok(keys) => {
                self.provider.set_keys(keys);
                if !is_first {
                    limits.probe_outages(self.pool);
                    tracing::info!(provider = self.name, path = %self.file.path.display(), "the file of the provider's API keys has changed; the new keys are in use");
                }
            }
            Err(error) => {
                tracing::error!(provider = self.name, path = %self.file.path.display(), error, "the file of the provider's API keys is invalid; the previous keys stay in use until it is corrected");
            }
        })
        .await;
    }

    /// Rejects an invalid file, and one with another number of keys.
    fn check<'a>(&self, read: &'a ReadResult) -> Result<&'a [secrecy::SecretString], String> {
        let keys = read.0.as_ref().map_err(Clone::clone)?;
        if keys.len() == self.count {
            Ok(keys)
        } else {
            Err(format!(
                "the file holds {} keys where it held {} at the start; restart the server to change their number",
                keys.len(),
                self.count
            ))
        }
    }
}

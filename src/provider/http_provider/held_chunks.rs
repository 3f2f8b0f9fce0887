//! Chunks of a passed-through stream that wait while their text may be the beginning of a secret.

use std::sync::Arc;

use super::secrets::Secrets;
use crate::provider::partial_answer::{DecodeError, PartialAnswer, StreamState};
use crate::provider::stream_decoder::begun_bytes;

/// Minimum length of the beginning of a secret for which chunks wait, in bytes: many texts end like a shorter one, which says little.
const MIN_BEGINNING_BYTES: usize = 8;
/// Maximum size of the chunks that wait, in bytes. Beyond it they are handed on: no stream spreads a secret so far.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// Chunks that wait for the rest of a text. What is handed on has no secrets.
#[derive(Debug)]
pub struct HeldChunks {
    secrets: Arc<Secrets>,
    chunks: Vec<Vec<u8>>,
    bytes: usize,
    /// Lengths of the content and of the arguments that were searched and handed on, without the beginning of a secret at their end.
    searched: [usize; 2],
}

impl HeldChunks {
    pub const fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            secrets,
            chunks: Vec::new(),
            bytes: 0,
            searched: [0; 2],
        }
    }

    /// Adds a chunk, with which the answer is `partial`. Returns the chunks that can be handed on.
    ///
    /// # Errors
    /// If a secret is spread over several chunks.
    pub fn push(
        &mut self,
        chunk: Vec<u8>,
        partial: &PartialAnswer,
    ) -> Result<Vec<Vec<u8>>, DecodeError> {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
        let texts = [&partial.content, &partial.arguments];
        let mut searched = self.searched;
        let mut longest_beginning = 0;
        for (text, searched) in texts.into_iter().zip(&mut searched) {
            let new = text.get(*searched..).unwrap_or_default();
            let mut beginning = 0;
            for secret in self.secrets.hidden() {
                // One within a chunk is masked there.
                let is_whole =
                    |chunk: &Vec<u8>| memchr::memmem::find(chunk, secret.as_bytes()).is_some();
                if new.contains(secret) && !self.chunks.iter().any(is_whole) {
                    let reason = "the answer repeats a secret of the configuration";
                    return Err(DecodeError::Malformed(reason.to_owned()));
                }
                beginning = beginning.max(begun_bytes(new, secret));
            }
            *searched = text.len() - beginning;
            longest_beginning = longest_beginning.max(beginning);
        }
        let may_go_on =
            partial.state == StreamState::Incomplete && longest_beginning >= MIN_BEGINNING_BYTES;
        if may_go_on && self.bytes <= MAX_HELD_BYTES {
            return Ok(Vec::new());
        }
        self.searched = searched;
        Ok(self.take())
    }

    /// Takes the chunks that wait.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        let chunks = std::mem::take(&mut self.chunks);
        let masked = chunks
            .into_iter()
            .map(|chunk| self.secrets.mask_message(chunk));
        masked.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-secret-0123456789";

    /// Pushes chunks with these texts. Returns how many chunks can be handed on after each.
    fn pushed(texts: &[&str]) -> Result<Vec<usize>, DecodeError> {
        let secrets = Secrets::default().with_keys(vec![KEY.into()], vec![]);
        let mut held = HeldChunks::new(secrets.into());
        let mut partial = PartialAnswer::default();
        let push = |text: &&str| {
            partial.content.push_str(text);
            let chunks = held.push(text.as_bytes().to_vec(), &partial);
            chunks.map(|chunks| chunks.len())
        };
        texts.iter().map(push).collect()
    }

    #[test]
    fn chunks_wait_while_they_may_begin_a_secret() {
        assert_eq!(pushed(&["a", "b", "c"]), Ok(vec![1, 1, 1]));
        assert_eq!(pushed(&["as", "k-", "", "x"]), Ok(vec![1, 1, 1, 1]));
        let start = &KEY[..MIN_BEGINNING_BYTES];
        assert_eq!(pushed(&["as", start, "", "x"]), Ok(vec![1, 0, 0, 3]));
        // Within one chunk, it is masked there.
        assert_eq!(pushed(&[start, KEY, "x"]), Ok(vec![0, 2, 1]));
        let long = "x".repeat(MAX_HELD_BYTES) + start;
        assert_eq!(pushed(&[&long, "k"]), Ok(vec![1, 1]));
        for start_bytes in [1, MIN_BEGINNING_BYTES - 1, MIN_BEGINNING_BYTES] {
            let (start, end) = KEY.split_at(start_bytes);
            for text in ["the key is ".to_owned(), "x".repeat(MAX_HELD_BYTES)] {
                assert!(matches!(
                    pushed(&[&(text + start), "", end]),
                    Err(DecodeError::Malformed(_))
                ));
            }
        }
    }

    #[test]
    fn no_chunk_waits_once_the_answer_is_complete() {
        let mut held = HeldChunks::new(Arc::new(
            Secrets::default().with_keys(vec![KEY.into()], vec![]),
        ));
        let mut partial = PartialAnswer::default();
        partial.content.push_str(&KEY[..MIN_BEGINNING_BYTES]);
        assert_eq!(held.push(b"a".to_vec(), &partial).unwrap().len(), 0);
        partial.state = StreamState::AnswerComplete;
        assert_eq!(held.push(b"b".to_vec(), &partial).unwrap().len(), 2);
    }
}

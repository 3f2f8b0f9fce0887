//! `anyOf` and `oneOf`: a node for each alternative, combined with the constraints beside them.

use super::conjunction::Conjunction;
use super::description::Description;
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::{Effort, Lowering};
use super::merged_schema::MergedSchema;
use crate::tree::{Keyword, NodeRef};

impl<'s> Lowering<'s> {
    /// Lowers alternatives that describe different forms of the value. `None`: there are none.
    pub fn choice(
        &mut self,
        conjunction: &Conjunction<'s>,
        gathered: &MergedSchema<'s>,
    ) -> Result<Option<LoweredNode>, LoweringError> {
        let Some(choices) = gathered
            .choices
            .iter()
            .find(|choices| choices.is_structural())
        else {
            return Ok(None);
        };
        let alone = gathered.has_only_choices()
            && gathered.choices.len() == 1
            && gathered.ignored.is_empty();
        let names_types = gathered.has(Keyword::Type);
        if !alone && self.effort == Effort::Little && gathered.types()?.is_some() && names_types {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for choice in choices.of.iter() {
            let conjunction = if alone {
                Conjunction::new(vec![choice], conjunction.level)
            } else {
                let mut chosen = conjunction.chosen.clone();
                chosen.push((choices.schema.id(), choices.keyword));
                let all = std::iter::once(choice)
                    .chain(conjunction.all.iter().copied())
                    .collect();
                Conjunction {
                    all,
                    chosen,
                    level: conjunction.level,
                    here: true,
                }
            };
            match self.part(&conjunction) {
                Ok(part) => parts.push(part),
                Err(LoweringError::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        let part = self.join(parts)?;
        let words = Description::general(gathered);
        Ok(Some(self.described(part, words)))
    }

    /// Lowers the alternatives of several schemas.
    pub fn either(
        &mut self,
        schemas: &[NodeRef<'s>],
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let mut parts = Vec::new();
        for schema in schemas {
            match self.part(&Conjunction::new(vec![*schema], level)) {
                Ok(part) => parts.push(part),
                Err(LoweringError::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        self.join(parts)
    }
}

//! A value by its types: a part for each, or for any value at all.

use serde_json::{Map, Value, json};

use super::Lowering;
use super::gather::Gathered;
use super::part::{Part, Stop};
use super::words::{self, Words};
use crate::model::{Kinds, Shape};

impl<'s> Lowering<'_, 's> {
    /// One part for each type that the value may have.
    pub fn types(&mut self, gathered: &Gathered<'s>, level: usize) -> Result<Part, Stop> {
        let words = Words::general(gathered);
        let Some(types) = gathered.types()? else {
            let part = self.any(level)?;
            return Ok(self.described(part, words));
        };
        let parts = self.each(&types, gathered, level)?;
        let mut part = self.join(parts)?;
        if let Some(title) = gathered
            .title()
            .filter(|_| self.subset.takes("title") && !self.stands_alone(&part))
        {
            part.json.insert("title".to_owned(), title.into());
        }
        Ok(self.described(part, words))
    }

    /// A part for each of these types that a value can have.
    pub fn each(
        &mut self,
        types: &[&'static str],
        gathered: &Gathered<'s>,
        level: usize,
    ) -> Result<Vec<Part>, Stop> {
        let mut parts = Vec::new();
        for name in types {
            let part = match *name {
                "object" => self.object(gathered, level),
                "array" => self.array(gathered, level),
                "null" => Ok(Part::null()),
                name => Ok(self.scalar(name, gathered)),
            };
            match part {
                Ok(part) => parts.push(part),
                Err(Stop::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(parts)
    }

    /// Any value at all.
    pub fn any(&mut self, level: usize) -> Result<Part, Stop> {
        if self.subset.any {
            self.count.open += 1;
            return Ok(Part::new(Map::new(), Shape::same(Kinds::ALL)).or_null());
        }
        let text = self.text(&[], level)?;
        // Where unions are few, they are kept for what says more.
        if self.subset.limits.unions < usize::MAX {
            return Ok(text);
        }
        let kinds = ["string", "number", "boolean"].map(Part::typed).into_iter();
        self.join(kinds.chain([Part::null(), text]).collect())
    }

    /// A value as its JSON text: what takes any value, and says what it should be in words alone.
    pub fn text(&mut self, all: &[&'s Value], level: usize) -> Result<Part, Stop> {
        if level >= self.subset.limits.levels {
            return Err(Stop::Deep);
        }
        self.count.properties += 1;
        let mut words = "The value as JSON text".to_owned();
        for schema in all
            .iter()
            .filter(|schema| schema.as_object().is_some_and(|schema| !schema.is_empty()))
        {
            words.push_str(", valid against the JSON Schema ");
            words.push_str(&words::shown(schema));
        }
        let text = json!({"type": "string", "description": words});
        Ok(Part::new(self.exactly([("json", text)]), Shape::Text))
    }
}

//! Reading of one table of the configuration: each key is taken once, parsed and recorded;
//! remaining keys are unknown.

use std::{cell::RefCell, collections::BTreeMap, io, path::Path};

use super::{
    error::Error,
    parsers::Parsed,
    print::{InForce, key_text},
    setting::{Environment, Origin, Setting, Table, Value},
};
use crate::types::did_you_mean;

/// Environment and file access for the sections, and the record of the keys that were read.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    record: RefCell<Vec<InForce>>,
}

impl<'a> Reader<'a> {
    /// Returns a reader with an empty record.
    pub(super) fn new(
        environment: &'a Environment,
        read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    ) -> Self {
        Self {
            environment,
            read_file,
            record: RefCell::default(),
        }
    }

    /// Reads a file; `named` is the source of its path.
    pub(super) fn read_file(&self, path: &Path, named: &Origin) -> Result<String, Error> {
        (self.read_file)(path).map_err(|source| Error::Read {
            place: named.place(),
            path: path.to_owned(),
            source,
        })
    }

    /// Returns the keys that were read, in order.
    pub(super) fn into_record(self) -> Vec<InForce> {
        self.record.into_inner()
    }
}

/// Table of the configuration that is being read.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// Header as in a file, such as `limits` or `models."a.b"`; empty for the top level.
    pub(super) header: String,
    /// Source in which the table begins.
    pub(super) origin: Origin,
    settings: Table,
    known: Vec<&'static str>,
    /// See [`InForce::is_from_callers_file`].
    is_from_callers_file: bool,
}

impl<'a> Section<'a> {
    /// Returns the top level of the configuration.
    pub(super) fn root(reader: &'a Reader<'a>, settings: Table) -> Self {
        Self {
            reader,
            header: String::new(),
            origin: Origin::Default,
            settings,
            known: Vec::new(),
            is_from_callers_file: false,
        }
    }

    /// Returns the top level of `callers_file`, which is not part of the configuration itself.
    pub(super) fn callers_file(reader: &'a Reader<'a>, settings: Table) -> Self {
        Self {
            is_from_callers_file: true,
            ..Self::root(reader, settings)
        }
    }

    /// Reads a key that has a default.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: impl Into<toml::Value>,
        parse: impl FnOnce(&Setting) -> Parsed<T>,
    ) -> Result<T, Error> {
        let setting = self
            .take(key)
            .unwrap_or_else(|| Setting::leaf(default, Origin::Default));
        self.parse(key, &setting, parse)
    }

    /// Reads a key that has no default. `None`: it is not set.
    pub(super) fn find<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Setting) -> Parsed<T>,
    ) -> Result<Option<T>, Error> {
        let setting = self.take(key);
        if setting.is_none() {
            self.unset(key);
        }
        setting
            .map(|setting| self.parse(key, &setting, parse))
            .transpose()
    }

    /// Records that a key without a default is not set.
    pub(super) fn unset(&self, key: &str) {
        self.record(key, None, &Origin::Default);
    }

    /// Takes the key with the highest precedence of several keys that exclude each other.
    ///
    /// # Errors
    /// If one source sets two of them.
    pub(super) fn one_of(
        &mut self,
        keys: &[&'static str],
    ) -> Result<Option<(&'static str, Setting)>, Error> {
        let mut chosen: Option<(&'static str, Setting)> = None;
        for &key in keys {
            let Some(setting) = self.take(key) else {
                continue;
            };
            match &chosen {
                Some((other, with)) if with.origin.same_source(&setting.origin) => {
                    let other = self.name(other);
                    let message =
                        format!("`{}` and `{other}` are both set; keep one", self.name(key));
                    return Err(Error::new(&setting.origin, message));
                }
                Some((_, with)) if with.origin > setting.origin => {}
                _ => chosen = Some((key, setting)),
            }
        }
        Ok(chosen)
    }

    /// Parses and records a setting that was taken.
    pub(super) fn parse<T>(
        &self,
        key: &str,
        setting: &Setting,
        parse: impl FnOnce(&Setting) -> Parsed<T>,
    ) -> Result<T, Error> {
        let (value, shown) =
            parse(setting).map_err(|why| self.refuse(key, &setting.origin, &why))?;
        self.record(key, Some(shown), &setting.origin);
        Ok(value)
    }

    /// Takes a setting, and marks its key as known.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Setting> {
        self.known.push(key);
        self.settings.0.remove(key)
    }

    /// Takes the table under `key`; empty if it is not set.
    pub(super) fn child(&mut self, key: &'static str) -> Result<Self, Error> {
        let empty = || Setting {
            value: Value::Table(Table::default()),
            origin: Origin::Default,
        };
        let setting = self.take(key).unwrap_or_else(empty);
        self.begin(self.name(key), setting)
    }

    /// Takes the tables within the table under `key`, with their names.
    pub(super) fn children(&mut self, key: &'static str) -> Result<Vec<(String, Self)>, Error> {
        let parent = self.child(key)?;
        let Table(settings) = parent.settings;
        let mut sections = Vec::new();
        for (name, setting) in settings {
            let header = format!("{key}.{}", key_text(&name));
            sections.push((name, self.begin(header, setting)?));
        }
        Ok(sections)
    }

    /// Returns a setting as a section.
    fn begin(&self, header: String, setting: Setting) -> Result<Self, Error> {
        let origin = setting.origin;
        match setting.value {
            Value::Table(settings) => Ok(Self {
                header,
                origin,
                settings,
                reader: self.reader,
                known: Vec::new(),
                is_from_callers_file: self.is_from_callers_file,
            }),
            Value::Leaf(_) => Err(Error::new(
                &origin,
                format!("`{header}` must be a table: [{header}]"),
            )),
        }
    }

    /// Returns the error "`key` why" for a key.
    pub(super) fn refuse(&self, key: &str, origin: &Origin, why: &str) -> Error {
        Error::new(origin, format!("`{}` {why}", self.name(key)))
    }

    /// Returns the error for a key that has no effect because `other` is not set.
    pub(super) fn no_effect(&self, key: &str, origin: &Origin, other: &str) -> Error {
        self.refuse(
            key,
            origin,
            &format!("has no effect without `{}`; set that too", self.name(other)),
        )
    }

    /// Takes all settings, for a table whose keys are the user's choice.
    pub(super) fn take_all(&mut self) -> BTreeMap<String, Setting> {
        std::mem::take(&mut self.settings.0)
    }

    /// Returns the source of a key that has not been read yet.
    pub(super) fn origin_of(&self, path: &str) -> Origin {
        self.settings
            .get(path)
            .map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// Rejects the first unknown key.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Some((key, setting)) = self.settings.0.iter().next() else {
            return Ok(());
        };
        let place = match self.header.as_str() {
            "" => "at the top level".to_owned(),
            header => format!("in [{header}]"),
        };
        let hint = did_you_mean(key, self.known.iter().copied());
        let allowed = self.known.join(", ");
        Err(Error::new(
            &setting.origin,
            format!("unknown key `{key}` {place};{hint} allowed: {allowed}"),
        ))
    }

    /// Returns a key with its section, such as `limits.max_queue`.
    pub(super) fn name(&self, key: &str) -> String {
        match self.header.as_str() {
            "" => key_text(key),
            header => format!("{header}.{}", key_text(key)),
        }
    }

    /// Records a key as read.
    fn record(&self, key: &str, value: Option<toml::Value>, origin: &Origin) {
        let (section, key, origin) = (self.header.clone(), key.to_owned(), origin.clone());
        let entry = InForce {
            section,
            key,
            value,
            origin,
            is_from_callers_file: self.is_from_callers_file,
        };
        self.reader.record.borrow_mut().push(entry);
    }
}

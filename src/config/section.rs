//! A table of settings being read: each key is taken once, parsed and recorded; what is left over is unknown.

use std::{cell::RefCell, collections::BTreeMap, io, path::Path};

use super::{
    error::{Error, did_you_mean},
    parsers::Parsed,
    print::{InForce, key_text},
    setting::{Environment, Origin, Setting, Table, Value},
};

/// The outside that a section may ask, and the record of what was read.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    record: RefCell<Vec<InForce>>,
}

impl<'a> Reader<'a> {
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

    pub(super) fn read_file(&self, path: &Path, named: &Origin) -> Result<String, Error> {
        (self.read_file)(path).map_err(|source| Error::Read {
            place: named.place(),
            path: path.to_owned(),
            source,
        })
    }

    pub(super) fn into_record(self) -> Vec<InForce> {
        self.record.into_inner()
    }
}

pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// The header as it stands in a file, `limits` or `models."a.b"`; empty for the top level.
    pub(super) header: String,
    /// Where the table was begun.
    pub(super) origin: Origin,
    settings: Table,
    known: Vec<&'static str>,
    /// See [`InForce::beside`].
    beside: bool,
}

impl<'a> Section<'a> {
    pub(super) fn root(reader: &'a Reader<'a>, settings: Table) -> Self {
        Self {
            reader,
            header: String::new(),
            origin: Origin::Default,
            settings,
            known: Vec::new(),
            beside: false,
        }
    }

    /// The root of a file that the configuration names, and that is not part of it.
    pub(super) fn beside(reader: &'a Reader<'a>, settings: Table) -> Self {
        Self {
            beside: true,
            ..Self::root(reader, settings)
        }
    }

    /// The key's value, or the default.
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

    /// The key's value, or `None` when nobody set it.
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

    /// Records that nobody set the key, which has no default.
    pub(super) fn unset(&self, key: &str) {
        self.record(key, None, &Origin::Default);
    }

    /// Of several keys that say the same in different ways, the one that the last source set.
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

    /// Parses a setting that was taken, and records it.
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

    /// The setting itself; its key is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Setting> {
        self.known.push(key);
        self.settings.0.remove(key)
    }

    /// The table under `key`, empty if nobody set it.
    pub(super) fn child(&mut self, key: &'static str) -> Result<Self, Error> {
        let empty = || Setting {
            value: Value::Table(Table::default()),
            origin: Origin::Default,
        };
        let setting = self.take(key).unwrap_or_else(empty);
        self.begin(self.name(key), setting)
    }

    /// The tables in the table under `key`, with their names.
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

    fn begin(&self, header: String, setting: Setting) -> Result<Self, Error> {
        let origin = setting.origin;
        match setting.value {
            Value::Table(settings) => Ok(Self {
                header,
                origin,
                settings,
                reader: self.reader,
                known: Vec::new(),
                beside: self.beside,
            }),
            Value::Leaf(_) => Err(Error::new(
                &origin,
                format!("`{header}` must be a table: [{header}]"),
            )),
        }
    }

    /// The error for a key: "`key` why".
    pub(super) fn refuse(&self, key: &str, origin: &Origin, why: &str) -> Error {
        Error::new(origin, format!("`{}` {why}", self.name(key)))
    }

    /// The error for a key that was set at `origin`, but says nothing as long as `other` is not set.
    pub(super) fn no_effect(&self, key: &str, origin: &Origin, other: &str) -> Error {
        self.refuse(
            key,
            origin,
            &format!("has no effect without `{}`; set that too", self.name(other)),
        )
    }

    /// All that is in it, for a table whose keys are the user's own.
    pub(super) fn take_all(&mut self) -> BTreeMap<String, Setting> {
        std::mem::take(&mut self.settings.0)
    }

    /// Where a key that is still to be read was set.
    pub(super) fn origin_of(&self, path: &str) -> Origin {
        self.settings
            .at(path)
            .map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// Refuses what was not taken.
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

    /// The key with its section.
    pub(super) fn name(&self, key: &str) -> String {
        match self.header.as_str() {
            "" => key_text(key),
            header => format!("{header}.{}", key_text(key)),
        }
    }

    fn record(&self, key: &str, value: Option<toml::Value>, origin: &Origin) {
        let (section, key, origin) = (self.header.clone(), key.to_owned(), origin.clone());
        let entry = InForce {
            section,
            key,
            value,
            origin,
            beside: self.beside,
        };
        self.reader.record.borrow_mut().push(entry);
    }
}

//! Keywords of a tree: those of 2020-12 that say something about values, and the tree's own.

macro_rules! keywords {
    ($($variant:ident $name:literal $form:ident,)*) => {
        /// Keyword of a node.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Keyword {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Keyword {
            /// Returns the keyword of this name. `None`: nodes have no such keyword.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    $($name => Self::$variant,)*
                    _ => return None,
                })
            }

            /// Returns the name in a document.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns the form of the keyword's value.
            pub(crate) const fn form(self) -> Form {
                match self {
                    $(Self::$variant => Form::$form,)*
                }
            }
        }
    };
}

/// Form of a keyword's value in a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One or several types.
    Types,
    /// A node elsewhere in the tree.
    Reference,
    /// A node.
    Node,
    /// A list of nodes.
    Nodes,
    /// Nodes by name.
    Named,
    /// Names of members.
    Names,
    /// Lists of names by name.
    Dependent,
    Number,
    Text,
    Flag,
    /// A list of JSON values.
    Values,
    /// A JSON value.
    Value,
}

keywords! {
    Reference "$ref" Reference,
    IgnoredSiblings "$ignoredSiblings" Node,
    Title "title" Text,
    Description "description" Text,
    Default "default" Value,
    Examples "examples" Values,
    Example "example" Value,
    Deprecated "deprecated" Value,
    ReadOnly "readOnly" Value,
    WriteOnly "writeOnly" Value,
    Grounding "x-extractd-grounding" Value,
    Type "type" Types,
    Enum "enum" Values,
    Const "const" Value,
    Format "format" Text,
    Pattern "pattern" Text,
    MinLength "minLength" Number,
    MaxLength "maxLength" Number,
    Minimum "minimum" Number,
    Maximum "maximum" Number,
    ExclusiveMinimum "exclusiveMinimum" Number,
    ExclusiveMaximum "exclusiveMaximum" Number,
    MultipleOf "multipleOf" Number,
    Required "required" Names,
    MinProperties "minProperties" Number,
    MaxProperties "maxProperties" Number,
    DependentRequired "dependentRequired" Dependent,
    MinItems "minItems" Number,
    MaxItems "maxItems" Number,
    UniqueItems "uniqueItems" Flag,
    MinContains "minContains" Number,
    MaxContains "maxContains" Number,
    ContentEncoding "contentEncoding" Text,
    ContentMediaType "contentMediaType" Text,
    ContentSchema "contentSchema" Node,
    Properties "properties" Named,
    PatternProperties "patternProperties" Named,
    AdditionalProperties "additionalProperties" Node,
    UnevaluatedProperties "unevaluatedProperties" Node,
    PropertyNames "propertyNames" Node,
    DependentSchemas "dependentSchemas" Named,
    Items "items" Node,
    PrefixItems "prefixItems" Nodes,
    UnevaluatedItems "unevaluatedItems" Node,
    Contains "contains" Node,
    AllOf "allOf" Nodes,
    AnyOf "anyOf" Nodes,
    OneOf "oneOf" Nodes,
    Not "not" Node,
    If "if" Node,
    Then "then" Node,
    Else "else" Node,
}

impl Keyword {
    /// Keywords that list alternatives.
    pub const CHOICES: [Self; 2] = [Self::AnyOf, Self::OneOf];

    /// Returns true if the keyword does not constrain values.
    #[must_use]
    pub const fn is_annotation(self) -> bool {
        matches!(
            self,
            Self::IgnoredSiblings
                | Self::Title
                | Self::Description
                | Self::Default
                | Self::Examples
                | Self::Example
                | Self::Deprecated
                | Self::ReadOnly
                | Self::WriteOnly
        )
    }
}

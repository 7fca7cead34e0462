//! The columns of the table: how one plain collection differs from the next. Nothing here acts.
//!
//! [`Collection::at`] has what most collections have in common; a line of the table names what is different.

use serde_json::{Map, Value};

use crate::schema::Field;
use crate::settings::Settings;
use crate::wire::{Answer, Reply, V20};
use crate::world::World;

/// One plain collection.
pub(crate) struct Collection {
    /// Its name in the store, in the journal and in rate limits.
    pub store: &'static str,
    /// Its path below the account. A `*` is the id of the parent.
    pub path: &'static str,
    /// What comes before the id of the account: [`V20`] or one like it.
    pub base: &'static str,
    pub under: Option<Under>,
    pub list: List,
    /// Query parameters of a list, each of which compares the field of the same name.
    pub filters: &'static [&'static str],
    /// The envelope of one object in the body of POST and PUT, and in the response to GET, POST and PUT.
    pub body: Option<&'static str>,
    /// The envelope of the body of POST alone, and a field beside it: a create in which that is the same as in an earlier one returns
    /// the object of that one.
    pub posted: Option<(&'static str, &'static str)>,
    /// Fields beside that envelope in the body of POST and PUT, each true or false.
    pub beside: &'static [&'static str],
    /// The field that holds the id.
    pub id: &'static str,
    pub chosen: Chosen,
    /// The field that holds the name, if there is one: objects that a test inserts get one.
    pub name: &'static str,
    /// Fields whose values together occur once in the collection (within the parent).
    pub unique: &'static [&'static str],
    /// The most objects there may be (of one parent), and the code and text of the refusal of one more.
    pub most: Option<(usize, &'static str, &'static str)>,
    /// What a client may send.
    pub fields: &'static [Field],
    /// What the server sets on create. A client may send it, to no effect.
    pub on_create: &'static [(&'static str, Fill)],
    /// What the server sets on each write. A client may send it, to no effect.
    pub on_write: &'static [(&'static str, Fill)],
    /// What the server sets where a create leaves it out.
    pub defaults: &'static [(&'static str, Fill)],
    /// What only the response to a create shows.
    pub shown_once: &'static [(&'static str, Fill)],
    /// A field that must be true for that.
    pub shown_once_if: Option<&'static str>,
    /// The only fields of the object that the response to a create shows, if it does not show all.
    pub created: Option<&'static [&'static str]>,
    /// More that only a response has. A client may send it, to no effect.
    pub ignored: &'static [&'static str],
    /// The status of the response to a create.
    pub create_status: u16,
    /// Whether one object can be read.
    pub readable: bool,
    pub update: Update,
    pub delete: Delete,
    /// What refers to an object and so holds up its deletion.
    pub used_by: &'static [Use],
    /// What time does to an object.
    pub steps: &'static [Step],
    /// What this collection alone demands or fills in, on create and on update. An update may get another id.
    pub rule: fn(&mut World, &mut Write) -> Result<(), Reply>,
    /// What a read adds to an object, by its key.
    pub on_read: fn(&World, &str, &mut Map<String, Value>),
}

/// Where the id of a new object comes from. An id of the client's choice has a test, which returns the refusal.
#[derive(Clone, Copy)]
pub(crate) enum Chosen {
    ByServer,
    /// A client may choose it by a query parameter of POST.
    InQuery(&'static str, IdForm),
    /// A client must choose it, in the body of POST.
    InBody(IdForm),
}

pub(crate) type IdForm = fn(&str) -> Result<(), Reply>;

/// The parent of a collection.
pub(crate) struct Under {
    /// The parent's name in the store.
    pub store: &'static str,
    /// The field that holds the parent's id, as text or as a number.
    pub field: &'static str,
    pub numeric: bool,
    /// Whether the API shows that field; otherwise only the control API does.
    pub shown: bool,
    /// Children hold up the deletion of the parent, with this text; otherwise they go with it.
    pub holds: Option<&'static str>,
}

/// What the response to a list is.
pub(crate) enum List {
    /// A bare array.
    Bare,
    /// An object with a field that holds everything at once. A missing field is an empty list.
    Whole(&'static str),
    /// An object with a field that holds a page, and `next_page_token` if there is more. A missing field is an empty list.
    Pages(&'static str),
    /// The same; a client may send `page_size`.
    SizedPages(&'static str),
}

/// How an object is changed.
pub(crate) enum Update {
    Never,
    /// `PUT` of the whole. What may change and is left out is dropped.
    Put,
    /// `PUT` in which what is left out stays.
    Part,
    /// `PATCH` of the whole, without an envelope. What may change and is left out is dropped.
    Whole,
    /// `PATCH` without an envelope: what is left out stays. The response is empty.
    Merge,
    /// `PATCH` without an envelope: what `update_mask` names takes the value of the body, or is dropped if it has none.
    /// Without a mask all fields of the body count, unless the mask is required.
    Masked {
        required: bool,
    },
}

impl Update {
    pub fn verb(&self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::Put | Self::Part => Some("PUT"),
            Self::Whole | Self::Merge | Self::Masked { .. } => Some("PATCH"),
        }
    }

    pub fn is_masked(&self) -> bool {
        matches!(self, Self::Masked { .. })
    }
}

/// How an object is deleted.
pub(crate) enum Delete {
    /// The response is the object.
    Shown,
    /// The response is empty.
    Silent,
    Never,
    /// The collection does it itself, given the key.
    Own(fn(&mut World, &str) -> Answer),
}

/// A reference from another collection.
pub(crate) struct Use {
    /// The name of the other collection in the store.
    pub by: &'static str,
    /// The field that holds the id, or a list of ids; a dot leads into an object.
    pub field: &'static str,
    /// How the refusal continues after the object, before the id of the user.
    pub says: &'static str,
    /// A field and the only value of it with which a user counts.
    pub only: Option<(&'static str, &'static str)>,
}

impl Use {
    pub const fn of_workspace(field: &'static str) -> Self {
        Self { by: "workspaces", field, says: "is being used by active workspace", only: None }
    }

    pub const fn of_log_delivery(field: &'static str) -> Self {
        let only = Some(("status", "ENABLED"));
        Self { by: "log-delivery", field, says: "is being used by log delivery", only }
    }

    pub const fn of(by: &'static str, field: &'static str) -> Self {
        Self { by, field, says: "is being used by", only: None }
    }
}

/// A state that an object leaves by itself.
pub(crate) struct Step {
    pub field: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    /// How long after it entered the state; never, if the settings say nothing.
    pub after_ms: fn(&Settings) -> Option<u64>,
}

/// The note of an object that ends by itself: when, in epoch milliseconds.
pub(super) const GONE_AT: &str = "_gone_at";

/// A value that the server sets.
pub(crate) enum Fill {
    Account,
    /// Epoch milliseconds.
    Now,
    /// RFC 3339.
    NowText,
    Uuid,
    Text(&'static str),
    Bool(bool),
    /// JSON as text.
    Json(&'static str),
    /// `accounts/<account>/<path>/<id>`
    Name,
    /// Random, and long.
    Secret,
}

/// A create or an update, as it would be carried out.
pub(crate) struct Write<'a> {
    /// The key in the store: the id, after that of the parent if there is one.
    pub key: &'a str,
    /// The object so far; none at a create.
    pub before: Option<&'a Map<String, Value>>,
    pub after: &'a mut Map<String, Value>,
    /// The fields of the request.
    pub sent: &'a Map<String, Value>,
    /// What came beside the envelope.
    pub beside: &'a Map<String, Value>,
}

impl Write<'_> {
    /// A field as it would be; null if there is none.
    pub fn value(&self, name: &str) -> &Value {
        self.after.get(name).unwrap_or(&Value::Null)
    }

    /// The same, to be changed.
    pub fn value_mut(&mut self, name: &str) -> &mut Value {
        self.after.entry(name).or_insert(Value::Null)
    }
}

impl Collection {
    /// A collection in the style of the oldest ones: a bare array, no envelope, UUIDs, no update.
    pub const fn at(path: &'static str, id: &'static str) -> Self {
        Self {
            store: path,
            path,
            base: V20,
            under: None,
            list: List::Bare,
            filters: &[],
            body: None,
            posted: None,
            beside: &[],
            id,
            chosen: Chosen::ByServer,
            name: "",
            unique: &[],
            most: None,
            fields: &[],
            on_create: &[("account_id", Fill::Account), ("creation_time", Fill::Now)],
            on_write: &[],
            defaults: &[],
            shown_once: &[],
            shown_once_if: None,
            created: None,
            ignored: &[],
            create_status: 201,
            readable: true,
            update: Update::Never,
            delete: Delete::Shown,
            used_by: &[],
            steps: &[],
            rule: |_, _| Ok(()),
            on_read: |_, _, _| {},
        }
    }

    /// A collection in the style of the newer ones: pages, creates with 200, deletes without a body.
    pub const fn paged(path: &'static str, id: &'static str, items: &'static str) -> Self {
        Self { list: List::Pages(items), create_status: 200, delete: Delete::Silent, ..Self::at(path, id) }
    }

    /// The key of an object in the store.
    pub fn key(&self, parent: Option<&str>, id: &str) -> String {
        parent.map_or_else(|| id.to_owned(), |parent| format!("{parent}/{id}"))
    }

    /// The methods of its API.
    pub fn methods(&self) -> Vec<&'static str> {
        let delete = Some("DELETE").filter(|_| !matches!(self.delete, Delete::Never));
        ["GET", "POST"].into_iter().chain(self.update.verb()).chain(delete).collect()
    }

    /// Whether a field is one that only a response has.
    pub fn is_only_shown(&self, name: &str) -> bool {
        let filled = self.on_create.iter().chain(self.on_write).chain(self.shown_once);
        let parent = self.under.as_ref().is_some_and(|under| under.field == name);
        name == self.id
            || parent
            || self.ignored.contains(&name)
            || filled.clone().any(|(own, _)| *own == name)
    }
}

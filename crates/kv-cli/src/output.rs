//! Where results go: tables and lines for people, one JSON document a line for programs.

use comfy_table::{Table, presets};
use serde_json::Value as Json;
use std::io::{self, Write};

/// The stream of results, the form they take on it, and the stream of everything else.
pub(crate) struct Output<'a> {
    stream: &'a mut dyn Write,
    notes: &'a mut dyn Write,
    form: Form,
}

#[derive(Clone, Copy)]
pub(crate) enum Form {
    People,
    Programs,
}

impl<'a> Output<'a> {
    pub(crate) fn new(stream: &'a mut dyn Write, notes: &'a mut dyn Write, form: Form) -> Self {
        Self {
            stream,
            notes,
            form,
        }
    }

    /// One result, at once on its way.
    pub(crate) fn result(&mut self, text: impl FnOnce() -> String, json: Json) -> io::Result<()> {
        match self.form {
            Form::People => writeln!(self.stream, "{}", text())?,
            Form::Programs => writeln!(self.stream, "{json}")?,
        }
        self.stream.flush()
    }

    /// What only programs need to be told: people see it by what is missing, and by the exit code.
    pub(crate) fn for_programs(&mut self, json: Json) -> io::Result<()> {
        match self.form {
            Form::People => Ok(()),
            Form::Programs => self.result(String::new, json),
        }
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// A word to the person at the terminal, beside the results.
    pub(crate) fn note(&mut self, text: &str) {
        // Where nobody listens there is nobody to tell.
        let _ = writeln!(self.notes, "{text}").and_then(|()| self.notes.flush());
    }

    /// Several results of the same kind: a table with a row for each, or a document for each.
    pub(crate) fn rows<const N: usize>(
        &mut self,
        header: [&str; N],
        rows: impl IntoIterator<Item = ([String; N], Json)>,
    ) -> io::Result<()> {
        let rows = rows.into_iter();
        match self.form {
            Form::People => self.table(header, rows.map(|(cells, _)| cells)),
            Form::Programs => self.documents(rows.map(|(_, json)| json)),
        }
    }

    /// The same where one result may take several rows.
    pub(crate) fn rows_of<const N: usize, T>(
        &mut self,
        header: [&str; N],
        results: &[T],
        rows: impl Fn(&T) -> Vec<[String; N]>,
        json: impl Fn(&T) -> Json,
    ) -> io::Result<()> {
        match self.form {
            Form::People => self.table(header, results.iter().flat_map(rows)),
            Form::Programs => self.documents(results.iter().map(json)),
        }
    }

    fn table<const N: usize>(
        &mut self,
        header: [&str; N],
        rows: impl Iterator<Item = [String; N]>,
    ) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(header);
        table.add_rows(rows);
        writeln!(self.stream, "{table}")?;
        self.stream.flush()
    }

    fn documents(&mut self, documents: impl Iterator<Item = Json>) -> io::Result<()> {
        for json in documents {
            writeln!(self.stream, "{json}")?;
        }
        self.stream.flush()
    }
}

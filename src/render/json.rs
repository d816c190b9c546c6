//! The report as JSON for people and programs: one line for each certificate and each problem, so
//! that `curl` shows it readably and `grep` finds a file.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Serializer, Value};

use crate::report::Report;

/// Writes the report, without a newline at its end.
pub fn write(report: &Report) -> String {
    let mut json = Vec::with_capacity(8 * 1024);
    let mut serializer = Serializer::with_formatter(&mut json, Lines { depth: 0, filled: false });
    // Every key of a report is text and memory takes every byte, so nothing can fail here.
    let written = report.serialize(&mut serializer).map(|()| String::from_utf8(json));
    match written {
        Ok(Ok(json)) => json,
        Ok(Err(error)) => refusal(&format!("the report is not UTF-8: {error}")),
        Err(error) => refusal(&format!("the report cannot be written: {error}")),
    }
}

/// Why there is no report, in its place; without a newline at its end.
pub fn refusal(why: &str) -> String {
    format!("{{\"error\": {}}}", Value::from(why))
}

/// A line for each field of the outermost object and for each element of its arrays.
struct Lines {
    depth: usize,
    /// Whether the innermost open bracket has something behind it.
    filled: bool,
}

/// Depth down to which every element has its own line.
const SPREAD: usize = 2;

impl Lines {
    fn begin<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn end<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        spread: bool,
        bracket: &[u8],
    ) -> io::Result<()> {
        self.depth -= 1;
        if spread && std::mem::replace(&mut self.filled, true) {
            self.line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn element<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
        spread: bool,
    ) -> io::Result<()> {
        self.filled = true;
        match (first, spread) {
            (true, false) => Ok(()),
            (false, false) => writer.write_all(b", "),
            (true, true) => self.line(writer),
            (false, true) => writer.write_all(b",").and_then(|()| self.line(writer)),
        }
    }

    fn line<W: io::Write + ?Sized>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        let outermost = self.depth == 1;
        self.end(writer, outermost, b"}")
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.element(writer, first, self.depth == 1)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        let spread = self.depth == SPREAD;
        self.end(writer, spread, b"]")
    }

    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.element(writer, first, self.depth == SPREAD)
    }
}

//! How an answer is printed: laid out for a terminal or unchanged, with or without styles, and where its images are saved.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

#[cfg(feature = "terminal")]
use clap::{Args, ColorChoice};

use super::CommonArgs;
#[cfg(feature = "terminal")]
use crate::{
    markdown::{Look, Markdown},
    printer::{Spinner, Wait},
};
use crate::{
    printer::{Body, Images, JsonPrinter, Notes, Plain, Printer, TextPrinter},
    terminal::Output,
};

/// The widest line, in columns. Longer lines are hard to read.
#[cfg(feature = "terminal")]
const MAX_WIDTH: usize = 120;

/// How text is printed.
#[cfg(feature = "terminal")]
#[derive(Clone, Debug, Default, Args)]
pub struct OutputArgs {
    /// Whether to use styles and colours. `auto` uses them on a terminal, unless NO_COLOR is set; `always` lays Markdown out in a pipe too
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto, hide_default_value = true)]
    pub color: ColorChoice,
    /// Print Markdown as the model writes it, also on a terminal
    #[arg(long, global = true)]
    pub raw: bool,
    /// Save the images of answers in this folder [default: the current folder on a terminal; otherwise they are not saved]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
}

#[cfg(feature = "terminal")]
impl OutputArgs {
    /// Whether to use styles on a stream.
    pub(crate) fn is_styled(&self, stream: &impl anstream::stream::RawStream) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        }
    }

    /// Whether Markdown is laid out.
    pub(crate) fn is_laid_out(&self) -> bool {
        !self.raw && (self.color == ColorChoice::Always || io::stdout().is_terminal())
    }

    /// Where the text of an answer goes.
    pub(crate) fn body(&self) -> Box<dyn Body> {
        let out = Output::of(io::stdout());
        if !self.is_laid_out() {
            return Box::new(Plain::new(out));
        }
        let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        let width = if columns == 0 { 80 } else { columns.clamp(20, MAX_WIDTH) };
        let look = Look { width, is_styled: self.is_styled(&io::stdout()) };
        Box::new(Markdown::new(out, look))
    }
}

/// Where the text of an answer goes.
pub(crate) fn body(args: &CommonArgs) -> Box<dyn Body> {
    #[cfg(feature = "terminal")]
    return args.output.body();
    #[cfg(not(feature = "terminal"))]
    {
        let _ = args;
        Box::new(Plain::new(Output::of(io::stdout())))
    }
}

/// The printer of an answer.
pub(crate) fn printer(args: &CommonArgs) -> Box<dyn Printer> {
    if args.json {
        return Box::new(JsonPrinter::new(Output::of(io::stdout())));
    }
    let err = (!args.quiet).then(|| Output::of(io::stderr()));
    let here = io::stdout().is_terminal().then(|| PathBuf::from("."));
    #[cfg(feature = "terminal")]
    let (notes, images) = {
        let spinner = spinner(err.as_ref().is_some_and(Output::is_terminal));
        let notes = Notes::new(err, args.output.is_styled(&io::stderr())).with_spinner(spinner);
        (notes, args.output.images.clone().or(here))
    };
    #[cfg(not(feature = "terminal"))]
    let (notes, images) = (Notes::new(err, false), here);
    Box::new(TextPrinter::new(body(args), notes, Images::new(images)))
}

/// A spinner, if the terminal can show one.
#[cfg(feature = "terminal")]
fn spinner(is_terminal: bool) -> Option<Box<dyn Wait>> {
    let can_move = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    (is_terminal && can_move).then(|| Box::new(Spinner::new()) as _)
}

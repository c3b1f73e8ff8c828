//! What is printed of an answer, and where.

use super::*;
use crate::{
    printer::Plain,
    proto::{
        BlockStop, Citation, CitationLocation, ImageDelta, ImageSource, ImageStart, TokenUsage, ToolUseStart,
        WebLocation, citation_location::Location, image_source::Source,
    },
    terminal::Output,
};

fn chunk(event: Event) -> Chunk {
    Chunk { sequence: Some(0), event: Some(event), ..Chunk::default() }
}

fn printer<'a>(
    out: &'a mut Vec<u8>,
    notes: &'a mut Vec<u8>,
    is_terminal: bool,
) -> TextPrinter<Plain<&'a mut Vec<u8>>, &'a mut Vec<u8>> {
    let notes = Notes::new(Some(Output::new(notes, is_terminal)), false);
    TextPrinter::new(Plain::new(Output::new(out, is_terminal)), notes, Images::new(None))
}

#[test]
fn the_answer_is_text_and_everything_else_is_a_note() {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut printer = printer(&mut out, &mut notes, false);
    let usage = TokenUsage { input_tokens: Some(3), output_tokens: Some(5), ..TokenUsage::default() };
    let tool = ToolUseStart { name: "look".into(), ..ToolUseStart::default() };
    let finish = Finish { stop_reason_name: "tool_use".into(), usage: Some(usage), ..Finish::default() };
    let events = [
        Event::Text("Hel".into()),
        Event::Text("lo".into()),
        Event::ToolUseStart(tool),
        Event::ToolUseInput("{}".into()),
        Event::BlockStop(BlockStop {}),
        Event::Finish(Box::new(finish)),
    ];
    for event in events {
        printer.chunk(chunk(event)).unwrap();
    }
    assert_eq!(String::from_utf8(out).unwrap(), "Hello\n");
    let notes = String::from_utf8(notes).unwrap();
    assert!(notes.starts_with("[tool look {}]\n[tool_use · "), "{notes}");
    assert!(notes.contains("3 tokens in, 5 out"), "{notes}");
}

#[test]
fn names_of_tools_and_models_do_nothing_to_a_terminal() {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut printer = printer(&mut out, &mut notes, true);
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J";
    let events = [
        Event::Start(Box::new(Start { model_id: hostile.into(), ..Start::default() })),
        Event::ToolUseStart(ToolUseStart { name: hostile.into(), ..ToolUseStart::default() }),
        Event::ToolUseInput(hostile.into()),
        Event::BlockStop(BlockStop {}),
        Event::Finish(Box::new(Finish { stop_reason_name: hostile.into(), ..Finish::default() })),
    ];
    for event in events {
        printer.chunk(chunk(event)).unwrap();
    }
    let notes = String::from_utf8(notes).unwrap();
    assert_eq!(notes.matches("\u{241b}]0;owned\u{2407}").count(), 4, "{notes:?}");
    assert!(!notes.contains(|c: char| c.is_control() && c != '\n'), "{notes:?}");
}

#[test]
fn reasoning_and_citations_are_notes() {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut printer = printer(&mut out, &mut notes, false);
    let web = Location::Web(WebLocation { url: "https://a.example".into(), ..WebLocation::default() });
    let citation = Citation {
        title: "A page".into(),
        location: Some(CitationLocation { location: Some(web) }),
        ..Citation::default()
    };
    let events = [
        Event::Reasoning(ReasoningDelta { delta: Some(Delta::Text("I thi".into())) }),
        Event::Reasoning(ReasoningDelta { delta: Some(Delta::Text("nk".into())) }),
        Event::Reasoning(ReasoningDelta { delta: Some(Delta::Signature("secret".into())) }),
        Event::BlockStop(BlockStop {}),
        Event::Text("so".into()),
        Event::Citation(citation),
        Event::BlockStop(BlockStop {}),
        Event::Finish(Box::default()),
    ];
    for event in events {
        printer.chunk(chunk(event)).unwrap();
    }
    assert_eq!(String::from_utf8(out).unwrap(), "so\n");
    let notes = String::from_utf8(notes).unwrap();
    assert!(notes.starts_with("[reasoning]\nI think\n[1: A page, https://a.example]\n"), "{notes}");
}

#[test]
fn an_image_is_saved_under_a_new_name_with_its_own_ending() {
    let folder = std::env::temp_dir().join(format!("outcrop-client-images-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let image = |bytes: &'static [u8]| {
        Event::Image(ImageDelta {
            source: Some(ImageSource { source: Some(Source::Bytes(bytes.into())) }),
            error: None,
        })
    };
    let mut notes = Vec::new();
    for _ in 0..2 {
        let mut out = Vec::new();
        let mut printer = TextPrinter::new(
            Plain::new(Output::new(&mut out, false)),
            Notes::new(Some(Output::new(&mut notes, false)), false),
            Images::new(Some(folder.clone())),
        );
        let events = [
            Event::Start(Box::new(Start { generation_id: "../../x".into(), ..Start::default() })),
            Event::ImageStart(ImageStart { format: "png".into() }),
            image(b"ab"),
            image(b"c"),
            Event::BlockStop(BlockStop {}),
            Event::ImageStart(ImageStart { format: "../sh".into() }),
            image(b"d"),
            Event::BlockStop(BlockStop {}),
        ];
        for event in events {
            printer.chunk(chunk(event)).unwrap();
        }
    }
    let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let content = std::fs::read(folder.join("outcrop-x-1.png")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(names, ["outcrop-x-1.png", "outcrop-x-2.image", "outcrop-x-2.png", "outcrop-x-3.image"]);
    assert_eq!(content, b"abc");
    let notes = String::from_utf8(notes).unwrap();
    assert!(notes.contains("outcrop-x-2.png: 3 bytes]"), "{notes}");
}

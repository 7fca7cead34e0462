//! Lists of pages, well-behaved and not.

use serde_json::json;

use super::*;

/// Feeds the pages one after another; what leads to the next page must be there until the last.
fn read(style: Pages, pages: Vec<Value>) -> Result<Vec<Value>, Broken> {
    let mut collected = Collected::new(style);
    let count = pages.len();
    for (index, page) in pages.into_iter().enumerate() {
        match collected.add(page, 10)? {
            Some(_) if index + 1 < count => {}
            None if index + 1 == count => return Ok(collected.items),
            next => panic!("after page {index} of {count}: {next:?}"),
        }
    }
    panic!("the list wants yet another page");
}

const WHOLE: Pages = Pages::Whole("networks");

#[test]
fn a_whole_list_comes_bare_or_wrapped() {
    for page in [json!([1, 2]), json!({"networks": [1, 2]}), json!({"items": [1, 2], "total": 2})] {
        assert_eq!(read(WHOLE, vec![page]), Ok(vec![json!(1), json!(2)]));
    }
    for page in [json!([]), json!({}), json!({"networks": []}), json!({"networks": null})] {
        assert_eq!(read(WHOLE, vec![page]), Ok(vec![]));
    }
}

#[test]
fn a_bare_list_is_never_left_out() {
    for page in [json!([1]), json!({"workspaces": [1]})] {
        assert_eq!(read(Pages::Bare, vec![page]), Ok(vec![json!(1)]));
    }
    assert_eq!(read(Pages::Bare, vec![json!([])]), Ok(vec![]));
    for page in [json!({}), json!(null), json!({"message": "x"}), json!({"a": [], "b": []})] {
        assert!(matches!(read(Pages::Bare, vec![page.clone()]), Err(Broken::Shape(_))), "{page}");
    }
}

#[test]
fn what_is_no_list_is_no_empty_list() {
    for page in [
        json!(null),
        json!("text"),
        json!(1),
        json!({"networks": {}}),
        json!({"networks": "x"}),
        json!({"a": [], "b": []}),
        json!({"error_code": "INTERNAL_ERROR", "message": "x"}),
        json!({"error": "x"}),
        json!({"message": "try again"}),
        json!({"detail": "try again"}),
        json!({"networks": [], "next_page_token": 7}),
    ] {
        assert!(matches!(read(WHOLE, vec![page.clone()]), Err(Broken::Shape(_))), "{page}");
    }
    for page in [json!(null), json!([]), json!({}), json!({"Resources": 1, "totalResults": 1})] {
        assert!(matches!(read(Pages::Scim, vec![page.clone()]), Err(Broken::Shape(_))), "{page}");
    }
}

#[test]
fn tokens_lead_on_through_short_and_empty_pages() {
    let pages = vec![
        json!({"items": [1], "next_page_token": "a"}),
        json!({"next_page_token": "b"}),
        json!({"items": [], "next_page_token": "c"}),
        json!({"items": [2], "next_page_token": ""}),
    ];
    assert_eq!(read(Pages::Token("items"), pages), Ok(vec![json!(1), json!(2)]));
    let mut collected = Collected::new(Pages::Token("items"));
    let next = collected.add(json!({"items": [], "next_page_token": "a"}), 1);
    assert_eq!(next, Ok(Some(("page_token", "a".to_owned()))));
}

#[test]
fn tokens_that_lead_in_a_circle_are_an_error() {
    let page = |item: u32, token: &str| json!({"items": [item], "next_page_token": token});
    for pages in [
        vec![page(1, "a"), page(2, "a"), json!({})],
        vec![page(1, "a"), page(2, "b"), page(3, "a"), json!({})],
        vec![page(1, "a"), page(1, "b"), json!({})],
    ] {
        assert!(matches!(read(Pages::Token("items"), pages), Err(Broken::Shape(_))));
    }
}

#[test]
fn a_list_without_end_is_an_error() {
    let mut collected = Collected::new(Pages::Token("items"));
    let mut page = 0;
    while collected.add(json!({"items": [page], "next_page_token": page.to_string()}), 1).is_ok() {
        page += 1;
    }
    assert_eq!(page, MOST_PAGES);
    let mut collected = Collected::new(WHOLE);
    assert!(collected.add(json!([]), MOST_BYTES + 1).is_err());
}

fn scim(total: usize, ids: std::ops::Range<usize>) -> Value {
    json!({"totalResults": total, "Resources": ids.map(|id| json!({"id": id})).collect::<Vec<_>>()})
}

#[test]
fn scim_counts_on_by_what_it_received() {
    assert_eq!(read(Pages::Scim, vec![json!({"totalResults": 0})]), Ok(vec![]));
    assert_eq!(read(Pages::Scim, vec![scim(3, 0..3)]).unwrap().len(), 3);
    // A host that hands out fewer than asked for.
    let mut collected = Collected::new(Pages::Scim);
    assert_eq!(collected.add(scim(3, 0..2), 1), Ok(Some(("startIndex", "3".to_owned()))));
    assert_eq!(collected.add(scim(3, 2..3), 1), Ok(None));
    // Full pages that say nothing of a total, and a total that counts the page.
    let bare = |ids: std::ops::Range<usize>| json!({"Resources": ids.collect::<Vec<_>>(), "schemas": []});
    let pages = vec![bare(0..500), bare(500..501), bare(0..0)];
    assert_eq!(read(Pages::Scim, pages).unwrap().len(), 501);
    let pages = vec![scim(500, 0..500), scim(500, 0..0)];
    assert_eq!(read(Pages::Scim, pages).unwrap().len(), 500);
}

#[test]
fn scim_lists_that_move_or_repeat_or_stop_are_errors() {
    let moved = read(Pages::Scim, vec![scim(1000, 0..500), scim(999, 501..999), json!({})]);
    assert!(matches!(moved, Err(Broken::Moved(_))), "an entry slipped through");
    let short = read(Pages::Scim, vec![scim(1000, 0..500), scim(1000, 0..0)]);
    assert!(matches!(short, Err(Broken::Moved(_))), "{short:?}");
    let repeated = read(Pages::Scim, vec![scim(1000, 0..500), scim(1000, 0..500)]);
    assert!(matches!(repeated, Err(Broken::Shape(_))), "{repeated:?}");
}

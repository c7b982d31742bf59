"""Abuse of tokens, sessions and the web, case by case, with the tests that hold camrelay to the answer.

The table is the place to look for what is covered; a test that was renamed is renamed here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

#: Case -> what is tried, and the tests of it.
CASES: dict[int, tuple[str, ...]] = {
    1: ("a grant for one camera used on another", "auth/test_gate.py::test_denials"),
    2: ("an action that was not granted", "auth/test_policy.py::test_who_may_do_what"),
    3: (
        "one tenant's key signs for another's camera",
        "auth/test_token.py::test_a_key_speaks_for_its_tenant_only",
    ),
    4: ("the right expires while HLS plays", "auth/test_gate.py::test_expiry_ends_hls"),
    5: ("the right expires while WebRTC plays", "auth/test_gate.py::test_expiry_ends_webrtc"),
    6: ("a right is revoked by any of its handles", "auth/test_gate.py::test_revocation_by_every_handle"),
    7: (
        "revoked while a playlist request waits",
        "fanout/hls/test_window.py::test_nobody_waits_beyond_the_end_of_the_viewing",
    ),
    8: ("alg none, in any spelling", "auth/test_token.py::test_the_token_does_not_choose_the_algorithm"),
    9: ("HS256 with the public key", "auth/test_token.py::test_the_public_key_is_not_a_shared_secret"),
    10: ("a path, SQL, a URL as kid", "auth/test_token.py::test_a_key_id_is_a_name_we_hold_or_nothing"),
    11: ("jku, x5u, jwk", "auth/test_token.py::test_the_header_says_three_things"),
    12: ("crit, b64, zip", "auth/test_token.py::test_the_header_says_three_things"),
    13: (
        "claims missing, of another type, endless, in the future",
        "auth/test_token.py::test_required_claims",
        "auth/test_token.py::test_times_are_whole_numbers",
        "auth/test_token.py::test_constants_that_json_does_not_have",
    ),
    14: ("a claim twice", "auth/test_token.py::test_a_name_stands_once"),
    15: (
        "another serialisation, or another spelling of one token",
        "auth/test_token.py::test_shapes_that_are_no_compact_jws",
        "auth/test_token.py::test_one_token_has_one_spelling",
    ),
    16: (
        "a token made for something else",
        "auth/test_token.py::test_a_token_for_another_purpose_is_no_grant",
    ),
    17: ("a token of megabytes", "auth/test_token.py::test_an_oversized_token_is_not_looked_at"),
    18: (
        "what works once, used by a hundred at once",
        "test_share_store.py::test_a_single_use_is_won_by_one_of_many",
        "test_accounts.py::test_case_18_of_a_hundred_who_use_an_invitation_one_gets_in",
        "test_invitation_store.py::test_an_offer_is_taken_once_and_before_its_end",
    ),
    19: (
        "a stolen path used in another network",
        "auth/test_gate.py::test_a_stolen_secret_is_worth_nothing_in_another_network",
    ),
    20: ("guessing paths", "auth/test_gate.py::test_a_secret_that_never_was"),
    21: (
        "the clock is set",
        "auth/test_gate.py::test_setting_the_clock_changes_no_deadline",
        "auth/test_verifier.py::test_setting_the_clock_back_does_not_lengthen_a_token",
    ),
    22: (
        "renewal with less, or by somebody else",
        "auth/test_gate.py::test_renewal_with_less_narrows_and_with_somebody_elses_grant_fails",
    ),
    23: (
        "tokens from before a new password",
        "test_accounts.py::test_case_23_what_was_given_before_a_new_password_is_void",
    ),
    24: ("somebody else's WHEP session", "fanout/webrtc/test_whep.py::test_a_wrong_name_is_not_found"),
    25: (
        "revoked while the store fails",
        "auth/test_gate.py::test_a_revocation_that_cannot_be_stored_still_cuts",
        "test_sharing.py::test_what_is_taken_back_has_ended_while_the_database_does_not_answer",
    ),
    26: (
        "a cookie planted before signing in",
        "test_accounts.py::test_case_26_a_cookie_from_before_signing_in_is_not_used",
    ),
    27: ("keys rotate under load", "auth/test_keys.py::test_a_rotation_refuses_nobody"),
    28: (
        "another site sends a form",
        "test_accounts.py::test_case_28_another_sites_form_changes_nothing",
        "test_accounts.py::test_case_28_json_that_says_it_is_text_is_not_read",
    ),
    29: ("framed by a site that may not", "test_pages.py::test_an_owner_says_which_sites_may_embed_a_camera"),
    30: (
        "scripts in names, titles and letters",
        "test_pages.py::test_case_30_a_name_is_text_wherever_it_stands",
        "mail/test_letter.py::test_case_74_what_people_wrote_is_no_header_and_no_link",
    ),
    31: (
        "being sent elsewhere after signing in",
        "e2e/test_accounts.py::test_signing_in_watching_and_being_signed_out",
    ),
    32: (
        "another host in a letter's links",
        "test_invitations.py::test_case_32_links_begin_with_the_configured_site_alone",
    ),
    33: ("caches", "test_accounts.py::test_case_33_no_cache_keeps_what_is_ones_own"),
    34: ("other sites read", "test_accounts.py::test_case_34_no_site_reads_accounts"),
    35: (
        "finding out who has an account, by words or by time",
        "test_accounts.py::test_case_35_registering_does_not_tell_who_has_an_account",
        "test_accounts.py::test_case_35_signing_in_does_not_tell_who_has_an_account",
        "test_invitations.py::test_case_35_an_answer_does_not_tell_who_has_an_account_or_wants_no_letters",
        "test_telling_times.py::test_case_35_the_work_of_an_answer_does_not_tell_who_has_an_account",
    ),
    36: (
        # Nothing resets a password by a token: operators give new ones. What a letter's token does once:
        "a letter's token, again and at once",
        "test_invitations.py::test_case_36_of_many_who_accept_at_once_one_does",
        "test_invitations.py::test_an_offer_is_a_right_to_one_account",
    ),
    37: (
        "giving oneself a role",
        "test_accounts.py::test_case_37_nobody_gives_themselves_a_role",
        "test_accounts.py::test_case_37_a_camera_is_its_makers",
    ),
    38: (
        "ids of others on every route",
        "test_accounts.py::test_case_38_foreign_cameras_are_not_there",
        "test_administration.py::test_case_38_no_route_leads_to_what_is_others",
    ),
    39: (
        "JSON that is a bomb",
        "test_accounts.py::test_case_39_json_that_is_a_bomb_is_a_bad_request",
        "test_openapi.py::test_a_stranger_who_tries_everything_meets_no_fault",
    ),
    40: ("formulas in tables", "audit/test_table.py::test_no_cell_is_a_formula"),
    41: (
        "names and addresses that look alike",
        "auth/test_account.py::test_case_41_addresses_that_look_alike_are_one",
        "auth/test_account.py::test_case_41_names_are_composed_and_visible",
    ),
    42: (
        "an invented address",
        "test_accounts.py::test_case_42_an_invented_address_does_not_get_around_the_wait",
        "auth/test_gate.py::test_the_address_behind_a_trusted_proxy",
    ),
}


def test_every_case_is_here() -> None:
    """None was left out."""
    assert list(CASES) == list(range(1, 43))


@pytest.mark.parametrize("case", CASES)
def test_each_named_test_exists(case: int) -> None:
    """Under the name that stands in the table."""
    _, *named = CASES[case]
    assert named
    for each in named:
        path, _, name = each.partition("::")
        tree = ast.parse((TESTS / path).read_text())
        functions = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, each

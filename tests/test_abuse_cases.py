"""Abuse of tokens, sessions, the web and the record, case by case, with the tests of camrelay's answers.

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
    60: (
        "line feeds, escapes and JSON in what is put on record",
        "audit/test_record.py::test_every_event_is_one_printable_line_and_comes_back",
        "audit/test_record.py::test_what_a_viewer_sends_cannot_act",
        "auth/test_client.py::test_agent_families",
    ),
    61: ("credentials that get out", "e2e/test_secrets.py::test_case_61_credentials_get_out_nowhere"),
    62: ("a token in a query", "auth/test_gate.py::test_tokens_in_urls"),
    63: (
        "a log that was changed, cut or rolled back",
        "audit/test_archive.py::test_the_first_bad_line_is_named",
        "audit/test_chain.py::test_the_first_bad_line_is_named",
        "audit/test_chain.py::test_a_day_begins_with_the_end_of_the_day_before",
        "audit/test_chain.py::test_leaves_forged_along_with_their_lines_prove_nothing",
        "audit/test_chain.py::test_a_rolled_back_log_is_told_by_a_saved_checkpoint",
        "audit/test_checkpoint.py::test_a_note_that_was_touched_is_refused",
        "audit/test_checkpoint.py::test_a_checkpoint_forged_with_another_key_is_refused",
    ),
    64: (
        "a disk that is full, read-only, locked or slow, and kills",
        "audit/test_log.py::test_a_slow_sync_refuses_and_leaves_no_viewing_that_never_was",
        "audit/test_log.py::test_a_failing_disk_refuses_viewers_keeps_stops_and_comes_back_by_itself",
        "audit/test_log.py::test_kill_loses_no_acknowledged_record",
        "audit/test_log.py::test_without_people_there_is_no_record",
        "audit/test_log.py::test_as_long_as_people_are_locked_refusals_come_at_once",
        "audit/test_people.py::test_a_locked_database_is_an_error_of_the_disk",
        "audit/test_people.py::test_a_full_or_read_only_database_is_an_error_of_the_disk",
        "audit/test_log.py::test_a_server_of_people_that_does_not_answer_refuses_viewers",
        "audit/test_log.py::test_a_server_of_people_that_is_gone_refuses_viewers_at_once",
        "audit/test_people_postgres.py::test_a_connection_that_breaks_inside_leaves_nothing",
        "audit/test_postgres.py::test_a_server_that_does_not_answer_is_given_up",
        "auth/test_gate.py::test_no_record_no_media",
        "auth/test_gate.py::test_running_media_does_not_notice_a_broken_log",
    ),
    65: (
        "a flood of denials",
        "auth/test_flood.py::test_a_flood_costs_a_bounded_number_of_lines",
        "auth/test_gate.py::test_a_flood_of_denials_is_a_few_lines_and_a_count",
    ),
    66: (
        "erased while it runs, during an export or a backup, twice, and put back",
        "test_own_record.py::test_case_66_erased_while_it_runs",
        "test_own_record.py::test_case_66_erased_while_an_export_is_made",
        "test_own_record.py::test_case_66_an_account_that_a_backup_brings_back_is_removed_again",
        "audit/test_erasure.py::test_case_66_a_backup_that_is_put_back_forgets_again",
        "audit/test_erasure.py::test_case_66_somebody_may_be_erased_twice",
        "audit/test_erasure.py::test_old_pages_that_somebody_reads_are_said",
        "audit/test_people_postgres.py::test_the_server_is_shown_nothing_and_forgets_with_the_key",
        "audit/test_people_postgres.py::test_a_copy_that_is_put_back_knows_nobody_who_was_forgotten",
    ),
    67: (
        "the record of somebody else",
        "test_own_record.py::test_case_67_nothing_of_others_is_done_or_shown_without_the_right",
    ),
    68: (
        "staff that reads or edits",
        "auth/test_permission.py::test_case_68_staff_needs_a_grant_that_is_not_over",
        "test_records.py::test_case_68_whoever_reads_is_on_record_for_each_person_shown",
        "test_records.py::test_case_68_nobody_edits_the_record",
        "test_own_record.py::test_case_68_a_member_sees_who_looked",
    ),
    69: (
        "one person out of statistics",
        "audit/test_statistic.py::test_case_69_fewer_than_k_people_are_not_told",
        "audit/test_statistic.py::test_case_69_leaving_changes_a_step_or_nothing",
        "audit/test_statistic.py::test_case_69_the_sum_tells_no_more_than_its_parts",
        "audit/test_usage.py::test_case_69_a_day_is_told_once_and_for_all",
        "test_usage.py::test_case_69_nothing_finer_than_a_day_can_be_asked_for",
    ),
    70: (
        "addresses tried against a stolen database",
        "audit/test_people.py::test_a_store_stolen_after_the_day_tells_no_address",
    ),
    71: (
        "labels that strangers make up",
        "e2e/test_secrets.py::test_case_71_what_strangers_make_up_is_no_label",
    ),
    72: (
        "another's records by parameters and places",
        "test_records.py::test_only_managers_may_read",
        "test_records.py::test_a_request_that_makes_no_sense_is_refused",
        "test_records.py::test_case_72_no_parameter_opens_another_camera",
    ),
    73: (
        # camrelay archives no policies. What it archives is what stays of purged days:
        "an archive that was edited",
        "audit/test_kept.py::test_case_73_an_act_that_was_left_out_is_missed",
        "audit/test_kept.py::test_an_act_that_was_changed_is_found",
    ),
    74: (
        "invitations as a way to write to many",
        "mail/test_letter.py::test_case_74_what_people_wrote_is_no_header_and_no_link",
        "test_invitations.py::test_case_74_nobody_writes_to_many",
    ),
    75: (
        "asking whether somebody was here",
        "test_own_record.py::test_case_75_nobody_learns_whether_somebody_was_here",
        "test_invitations.py::test_case_35_an_answer_does_not_tell_who_has_an_account_or_wants_no_letters",
    ),
    76: (
        "a hold without an end",
        "audit/test_holds.py::test_case_76_a_hold_without_end_or_approver_is_refused",
        "test_own_record.py::test_case_76_a_hold_needs_an_end_an_approver_and_a_reason",
    ),
    77: (
        "a clock set forward to have everything purged",
        "audit/test_retention.py::test_case_77_a_clock_that_leaps_purges_nothing",
    ),
    78: (
        "how long a comparison takes",
        "test_constant_time.py::test_the_measure_finds_what_gives_itself_away",
        "test_constant_time.py::test_case_78_of_passwords",
        "test_constant_time.py::test_case_78_of_an_api_key",
        "test_constant_time.py::test_case_78_of_a_media_session",
        "test_constant_time.py::test_case_78_of_a_letter",
    ),
    79: ("a storm of passwords", "test_accounts.py::test_case_79_a_storm_of_passwords_is_turned_away"),
    80: (
        # Listening to everybody without TLS is the operator's to choose: behind a proxy it is right.
        "keys that others can read, and passwords that everybody knows",
        "test_sealing.py::test_a_key_that_others_can_read_or_that_is_none_is_refused",
        "auth/test_keys.py::test_a_key_that_others_can_read_is_refused",
        "audit/test_signer.py::test_a_key_that_others_can_read_is_refused",
        "test_administration.py::test_case_80_nobody_is_there_at_first",
    ),
}


def test_every_case_is_here() -> None:
    """None was left out."""
    assert list(CASES) == [*range(1, 43), *range(60, 81)]


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

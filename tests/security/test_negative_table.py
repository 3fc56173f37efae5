"""What a penetration tester would try first, and which test tries it: every entry names tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# Number -> what is tried, and the tests that try it.
TRIED: dict[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "every route without a credential",
        (
            "gateway/test_http_routes.py::test_only_the_health_checks_are_public",
            "gateway/test_http_routes.py::test_no_credential_is_401_in_the_routes_own_dialect",
            "console/test_admin_access.py::test_the_table_and_the_router_name_the_same_routes",
        ),
    ),
    2: (
        "every role on every route",
        (
            "console/test_admin_access.py::test_every_route_with_every_role",
            "console/test_oidc.py::test_every_page_with_every_role_that_a_provider_gives",
        ),
    ),
    3: (
        "a credential in every place and shape",
        (
            "gateway/test_auth_credentials.py::test_one_key_in_every_place_it_may_stand",
            "gateway/test_auth_credentials.py::test_two_different_credentials_are_refused_wherever_they_stand",
            "gateway/test_auth_credentials.py::test_any_headers_give_one_credential_or_401",
            "console/test_connections.py::test_the_credential_is_one_header_and_no_other",
            "gateway/test_client_certificates.py::test_a_certificate_and_a_key_are_two_credentials",
            "gateway/test_client_certificates.py::test_whom_a_certificate_names",
            "gateway/test_client_certificates.py::test_only_our_authoritys_certificates_count_while_they_hold",
            "gateway/test_forwarded_certificates.py::test_a_trusted_proxy_says_whose_call_it_is",
            "gateway/test_forwarded_certificates.py::test_from_anywhere_else_the_header_counts_for_nothing",
        ),
    ),
    4: (
        "a scoped key elsewhere, through every header and spelling of a path",
        (
            "gateway/test_key_scopes.py::test_a_key_for_one_endpoint_is_refused_at_every_other_however_it_is_sent",
            "gateway/test_http_routes.py::test_no_other_spelling_of_a_path_reaches_it",
            "console/test_admin_access.py::test_no_other_spelling_is_a_route",
        ),
    ),
    5: (
        "hosts and request targets with two readings",
        (
            "gateway/test_http_framing.py::test_a_request_with_two_readings_is_400_and_the_connection_ends",
            "console/test_connections.py::test_what_has_two_readings_is_refused",
            "console/test_connections.py::test_metrics_are_open_to_this_machine_and_to_nobody_whom_it_lets_through",
        ),
    ),
    6: (
        "metacharacters, NUL, a mebibyte and invalid UTF-8 for a key",
        (
            "gateway/test_auth_credentials.py::test_what_is_no_credential_is_401_and_says_nothing_else",
            "gateway/test_auth_credentials.py::test_a_nul_in_a_credential_never_becomes_a_request",
            "gateway/test_auth_credentials.py::test_a_credential_of_a_mebibyte_is_too_large_a_header",
        ),
    ),
    7: (
        "telling known ids by time",
        ("gateway/test_auth_credentials.py::test_an_unknown_id_costs_what_a_wrong_secret_costs",),
    ),
    8: (
        "a key that was revoked or has expired",
        (
            "gateway/test_auth_credentials.py::test_expired_and_revoked_keys_are_refused_at_once",
            "console/test_admin_access.py::test_a_revoked_or_expired_role_key_ends_at_once",
            "process/test_workers.py::test_a_key_works_and_ends_on_every_worker_at_once",
            "process/test_kill.py::test_streams_of_a_revoked_key_end_where_the_configuration_says_so",
        ),
    ),
    9: (
        "a child broader than its creator",
        (
            "console/test_admin_access.py::test_a_child_is_never_broader_than_its_creator",
            "console/test_admin_access.py::test_what_a_child_leaves_open_is_its_creators",
            "console/test_admin_access.py::test_an_admin_of_one_tenant_makes_keys_of_that_tenant_alone",
            "console/test_admin_access.py::test_no_secret_of_a_broader_key_is_had_by_making_it_anew",
        ),
    ),
    10: (
        "fields that are not there to be set",
        (
            "console/test_admin_access.py::test_unknown_fields_are_refused_and_never_stored",
            "console/test_admin_access.py::test_nobody_says_who_has_made_a_key",
        ),
    ),
    11: (
        "an admin's credential on the data plane",
        ("gateway/test_key_scopes.py::test_a_key_with_a_role_calls_no_model",),
    ),
    12: (
        "forged, stretched and confused tokens",
        (
            "gateway/test_tokens.py::test_no_forged_token_is_taken_and_none_says_why",
            "gateway/test_tokens.py::test_a_token_ends_while_it_is_remembered",
            "gateway/test_tokens.py::test_claims_choose_and_never_widen",
            "gateway/test_tokens.py::test_a_key_set_that_is_none_is_no_configuration",
            "gateway/test_key_sets.py::test_a_new_key_works_without_a_restart_and_an_old_one_ends",
            "gateway/test_key_sets.py::test_unknown_keys_make_no_storm",
            "gateway/test_key_sets.py::test_what_is_no_key_set_changes_nothing",
            "console/test_back_channel.py::test_an_id_token_is_none_and_a_token_counts_once",
        ),
    ),
    13: (
        "every way in through an identity provider that is not one",
        (
            "console/test_oidc.py::test_no_other_way_back_is_one",
            "console/test_oidc.py::test_a_way_back_is_one_browsers_and_used_once",
            "console/test_oidc.py::test_a_code_of_another_browser_is_worth_nothing",
            "console/test_oidc.py::test_a_sign_in_counts_once_whatever_the_provider_does",
            "console/test_oidc.py::test_a_sign_in_does_not_take_for_ever",
            "console/test_oidc.py::test_people_of_another_provider_are_somebody_else",
            "console/test_oidc.py::test_no_other_id_token_lets_anybody_in",
            "console/test_oidc.py::test_nobody_has_a_role_by_default",
            "console/test_oidc.py::test_the_way_there_asks_for_what_it_must",
            "console/test_oidc.py::test_a_provider_that_is_none_has_a_page_that_says_so",
            "console/test_back_channel.py::test_no_other_claims_end_anything",
            "console/test_back_channel.py::test_no_other_signature_ends_anything",
        ),
    ),
    14: (
        "forms from elsewhere, sessions and frames of the console",
        (
            "console/test_pages.py::test_no_form_works_from_elsewhere",
            "console/test_pages.py::test_a_session_is_fresh_at_every_sign_in_and_ends",
            "console/test_pages.py::test_a_session_ends_by_itself",
            "console/test_pages.py::test_nobody_is_signed_in_from_elsewhere",
            "console/test_pages.py::test_over_tls_cookies_stay_on_tls",
            "console/test_pages.py::test_every_answer_keeps_browsers_in",
        ),
    ),
    15: (
        "guessing keys",
        (
            "gateway/test_key_scopes.py::test_guessing_is_told_to_stop_and_good_keys_go_on",
            "gateway/test_key_scopes.py::test_sources_beyond_their_bound_are_forgotten",
            "console/test_pages.py::test_guessing_the_secret_is_slowed_down",
            "console/test_admin_access.py::test_guessing_the_admin_secret_is_slowed_down_and_keys_are_not",
            "gateway/test_key_scopes.py::test_sources_are_counted_apart_and_an_ipv6_network_is_one",
        ),
    ),
    16: (
        "ids of other tenants",
        (
            "console/test_admin_access.py::test_other_tenants_and_other_peoples_keys_do_not_exist",
            "gateway/test_provider_state.py::test_what_was_made_for_another_tenant_does_not_exist",
            "gateway/test_idempotency.py::test_keys_of_others_and_other_endpoints_never_meet",
            "security/test_pseudonyms_apart.py::test_a_token_of_somebody_else_is_never_restored",
            "gateway/test_teams.py::test_another_teams_workload_does_not_exist",
            "console/test_pages.py::test_other_tenants_rows_are_nowhere",
            "console/test_other_tenants.py::test_the_record_of_actions_shows_nothing_of_another_tenant",
            "console/test_other_tenants.py::test_nobody_of_one_tenant_changes_everybodys_configuration",
            "console/test_other_tenants.py::test_an_operator_of_one_tenant_stops_nobody_elses_calls",
            "console/test_other_tenants.py::test_an_operator_of_one_tenant_ends_nobody_elses_kept_answers",
        ),
    ),
    17: (
        "a cache that answers across tenants",
        ("cache/test_cache_scope.py::test_no_question_is_answered_across_its_scope",),
    ),
    18: (
        "words of one tenant in any sink",
        (
            "security/test_canaries.py::test_no_sink_holds_what_a_tenant_said",
            "security/test_canaries.py::test_what_is_kept_of_a_caller_is_kept_for_its_tenant_only",
        ),
    ),
    19: (
        "filters and groupings that say more than they should",
        (
            "ledger/test_query.py::test_filters_that_cannot_be_meant",
            "ledger/test_query.py::test_an_unknown_dimension",
            "console/test_pages.py::test_a_filter_that_makes_no_sense_is_a_400",
            "security/test_filters_of_the_api.py::test_no_filter_value_is_read_as_anything_but_a_value",
        ),
    ),
    20: ("streams that mix under load", ("security/test_canaries.py::test_streams_never_mix",)),
    21: (
        "fields and headers that name another upstream, price or answer",
        (
            "security/test_egress_attempts.py::test_no_field_or_header_leads_anywhere_else",
            "gateway/test_seams_errors.py::test_credentials_of_the_caller_and_his_connection_never_go_on",
            "gateway/test_key_scopes.py::test_networks_are_those_of_the_connection_and_no_header_changes_that",
        ),
    ),
    22: (
        "upstreams at addresses of this machine or its cloud",
        (
            "upstream/test_transport_connect.py::test_some_addresses_are_refused_always",
            "upstream/test_transport_connect.py::test_private_addresses_are_refused_unless_declared",
            "upstream/test_transport_connect.py::test_a_name_rebound_to_the_metadata_address_is_refused",
            "upstream/test_transport_connect.py::test_one_bad_address_among_good_ones_refuses_all",
            "upstream/test_transport_connect.py::test_a_metadata_literal_is_refused_through_a_proxy_too",
        ),
    ),
    23: ("redirects", ("security/test_egress_attempts.py::test_a_redirect_is_followed_by_nobody",)),
    24: (
        "addresses of images and files",
        ("security/test_egress_attempts.py::test_what_a_body_points_to_is_fetched_by_nobody_here",),
    ),
    25: (
        "proxies of the environment",
        ("upstream/test_transport_connect.py::test_proxies_of_the_environment_are_never_used",),
    ),
    26: (
        "a fall-over to where the call may not go",
        (
            "gateway/test_seams_interlock.py::test_forbidden_environments_see_nothing_even_when_the_permitted_ones_fail",
            "gateway/test_seams_interlock.py::test_when_the_permitted_one_is_down_the_call_fails_closed",
        ),
    ),
    27: (
        "two hundred calls at once on money for few",
        (
            "budgets/test_money_abuse.py::test_two_hundred_at_once_on_money_for_few",
            "budgets/test_hard_budgets.py::test_parallel_calls_share_what_is_left",
            "pricing/test_input_bounds.py::test_no_tokenizer_counts_more_than_what_a_hard_budget_reserves",
        ),
    ),
    28: (
        "the first calls of somebody unknown",
        ("budgets/test_money_abuse.py::test_the_first_calls_of_somebody_new_are_bounded_like_any",),
    ),
    29: (
        "odd amounts",
        (
            "budgets/test_money_abuse.py::test_odd_amounts_are_refused_or_priced",
            "gateway/test_bad_input_parameters.py::test_token_limits_are_whole_and_in_range",
            "gateway/test_bad_input_parameters.py::test_many_choices_are_priced",
        ),
    ),
    30: (
        "leaving before the bill",
        ("budgets/test_money_abuse.py::test_whoever_leaves_early_pays_for_what_was_made",),
    ),
    31: (
        "asking for no usage",
        (
            "budgets/test_money_abuse.py::test_odd_amounts_are_refused_or_priced",
            "security/test_metering.py::test_every_endpoint_is_metered_whatever_is_asked_of_usage",
        ),
    ),
    32: (
        "an endpoint that nobody meters",
        (
            "budgets/test_money_abuse.py::test_every_endpoint_is_metered",
            "security/test_metering.py::test_every_endpoint_is_metered_whatever_is_asked_of_usage",
        ),
    ),
    33: (
        "names that lead to a dearer model",
        (
            "gateway/test_bad_input_parameters.py::test_only_the_exact_name_names_a_model",
            "gateway/test_bad_input_parameters.py::test_no_text_but_a_name_reaches_a_model",
            "security/test_metering.py::test_an_alias_is_authorised_and_priced_as_what_it_stands_for",
        ),
    ),
    34: (
        "a budget used twice where its period ends",
        (
            "budgets/test_windows.py::test_windows_meet_without_gap_or_overlap",
            "security/test_metering.py::test_around_midnight_each_day_pays_once",
        ),
    ),
    35: (
        "other keys, other networks and headers to evade a limit",
        (
            "budgets/test_money_abuse.py::test_another_key_of_the_team_does_not_help",
            "gateway/test_key_scopes.py::test_sources_are_counted_apart_and_an_ipv6_network_is_one",
            "gateway/test_key_scopes.py::test_networks_are_those_of_the_connection_and_no_header_changes_that",
        ),
    ),
    36: (
        "bombs, and JSON with two readings",
        (
            "gateway/test_http_limits.py::test_what_never_ends_is_refused_in_bounded_memory_and_the_client_can_read_why",
            "gateway/test_bad_input_json.py::test_what_is_no_request_is_400_in_the_callers_dialect",
            "gateway/test_bad_input_json.py::test_a_million_messages_are_answered_in_bounded_time_and_memory",
            "console/test_connections.py::test_no_body_is_a_defect",
            "console/test_connections.py::test_a_head_that_never_ends_is_refused_in_bounded_memory",
        ),
    ),
    37: (
        "requests that two servers would cut apart differently",
        (
            "gateway/test_http_framing.py::test_a_request_with_two_readings_is_400_and_the_connection_ends",
            "gateway/test_http_framing.py::test_trailers_never_become_headers",
            "gateway/test_http_limits.py::test_random_bytes_never_hang_a_connection_or_reach_a_model",
        ),
    ),
    38: (
        "HTTP/2, which is not spoken",
        (
            "gateway/test_http_framing.py::test_a_request_with_two_readings_is_400_and_the_connection_ends",
            "gateway/test_http_framing.py::test_an_offer_to_switch_protocols_is_ignored",
        ),
    ),
    39: (
        "clients that are slow on purpose",
        (
            "gateway/test_http_limits.py::test_slow_heads_and_bodies_get_408_and_others_are_served_meanwhile",
            "gateway/test_http_limits.py::test_hundreds_of_slow_clients_change_nothing_for_a_good_one",
            "console/test_connections.py::test_whoever_sends_slowly_is_ended",
            "console/test_connections.py::test_whoever_takes_slowly_is_ended",
            "console/test_connections.py::test_only_so_many_connections_are_held",
        ),
    ),
    40: (
        "line breaks in names, and request ids of callers",
        (
            "gateway/test_seams_errors.py::test_a_callers_names_never_become_headers",
            "gateway/test_seams_errors.py::test_a_callers_request_id_is_never_ours",
            "gateway/test_seams_errors.py::test_a_name_with_line_breaks_never_gets_into_a_configuration",
            "gateway/test_seams_errors.py::test_a_request_of_a_caller_cannot_carry_a_line_break_onward",
        ),
    ),
    41: (
        "headers of a provider",
        (
            "gateway/test_seams_errors.py::test_what_is_no_answer_is_told_as_a_bad_gateway_and_splits_nothing",
            "gateway/test_seams_errors.py::test_only_named_headers_of_a_provider_come_back",
        ),
    ),
    42: (
        "pages of other origins",
        (
            "gateway/test_seams_errors.py::test_only_named_headers_of_a_provider_come_back",
            "gateway/test_headers.py::test_real_answers_carry_nothing_that_the_table_does_not_name",
            "console/test_pages.py::test_every_answer_keeps_browsers_in",
        ),
    ),
    43: (
        "markup, formulas and escapes in names",
        (
            "console/test_pages.py::test_what_callers_and_models_name_is_inert_everywhere",
            "console/test_pages.py::test_a_spreadsheet_gets_no_formula",
            "console/test_bills.py::test_hostile_names_in_a_bill_are_inert",
            "telemetry/test_log_lines.py::test_an_event_is_one_line_of_plain_characters",
        ),
    ),
    44: (
        "secrets in any sink",
        (
            "security/test_canaries.py::test_no_sink_holds_what_a_tenant_said",
            "gateway/test_seams_errors.py::test_fragments_of_our_key_are_taken_out_of_what_passes",
            "upstream/test_providers.py::test_no_eight_characters_of_a_key_survive",
            "telemetry/test_log_lines.py::test_a_defect_tells_where_and_never_what",
            "telemetry/test_log_lines.py::test_what_fails_in_the_background_tells_where_and_never_what",
            "console/test_connections.py::test_a_defect_says_where_and_never_what",
            "config/test_config_load.py::test_the_installations_own_secrets_go_nowhere",
            "process/test_workers.py::test_what_is_written_is_its_owners_alone_and_workers_know_no_admin_secret",
        ),
    ),
    45: (
        "a way past a guard",
        (
            "guard/test_guard_matrix.py::test_no_way_to_an_answer_leads_past_a_guard",
            "gateway/test_errors_past_guards.py::test_an_error_says_nothing_that_an_answer_may_not",
        ),
    ),
    46: (
        "words that would move a model that runs the control plane",
        ("architecture/test_house.py::test_no_model_runs_the_control_plane",),
    ),
    47: (
        "a ledger that was changed",
        (
            "ledger/test_verify.py::test_any_changed_byte_is_found",
            "ledger/test_verify.py::test_any_rearrangement_of_lines_is_found",
            "ledger/test_verify.py::test_a_removed_tail_is_seen_against_the_store",
            "ledger/test_checkpoints.py::test_a_rollback_of_everything_is_told_by_the_anchor",
            "ledger/test_checkpoints.py::test_a_fork_is_told_by_the_anchor",
            "ledger/test_checkpoints.py::test_another_key_and_no_signature_are_refused",
        ),
    ),
    48: (
        "something more in a wheel",
        (
            "packaging/test_wheel.py::test_the_wheel_holds_what_git_holds_and_nothing_that_runs_by_itself",
            "packaging/test_wheel.py::test_a_wheel_with_something_more_is_refused",
            "packaging/test_wheel.py::test_importing_it_opens_nothing",
            "packaging/test_wheel.py::test_the_bill_of_materials_names_every_pin_once",
            "packaging/test_wheel.py::test_an_audit_without_data_says_that_it_is_none",
        ),
    ),
}  # fmt: skip


def functions(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_entry_is_there() -> None:
    assert list(TRIED) == list(range(1, 49))


@pytest.mark.parametrize("number", TRIED)
def test_every_entry_names_tests_that_exist(number: int) -> None:
    what, tests = TRIED[number]
    assert what
    assert tests
    for test in tests:
        name, _, function = test.partition("::")
        assert function in functions(TESTS / name), test

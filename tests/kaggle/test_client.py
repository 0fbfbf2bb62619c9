"""The real client against the stub: what it gives, and each way to fail as one line."""

import pytest

from kit.kaggle import client
from kit.kaggle.client import Kaggle, KaggleError
from kit.kaggle.kernel import Kernel, write_kernel
from kit.notebooks import numbered


@pytest.fixture
def folder(tmp_path):
    kernel = Kernel("stub-user", "kit first look", "voices-challenge", ["ann/weights"], gpu=True)
    write_kernel(numbered(["01"])[0], kernel, {}, tmp_path / "kernel")
    return tmp_path / "kernel"


def test_the_endpoint_is_where_the_tests_expect_it():
    """The tests turn the client to the stub by this name, which its makers call private."""
    from kagglesdk import kaggle_env

    assert kaggle_env.get_endpoint(kaggle_env.KaggleEnv.PROD) == "https://api.kaggle.com"
    assert kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] == "https://api.kaggle.com"


def test_a_push_says_what_the_server_took(account, stub, folder):
    kaggle = Kaggle()
    assert kaggle.username == "stub-user"
    pushed = kaggle.push(folder)
    assert (pushed.version, pushed.refused) == (1, ())
    assert kaggle.push(folder).version == 2
    sent = stub.kernels["stub-user/kit-first-look"]
    assert sent["machineShape"] == "NvidiaTeslaT4" and sent["enableGpu"] and sent["isPrivate"]
    assert not sent["enableInternet"] and sent["datasetDataSources"] == ["ann/weights"]


def test_an_answer_of_200_that_holds_an_error_is_an_error(account, stub, folder):
    stub.answer["SaveKernel"] = {"error": "Maximum weekly GPU quota of 30.00 hours reached.", "versionNumber": 0}
    with pytest.raises(KaggleError, match="^push: Maximum weekly GPU quota of 30.00 hours reached.$"):
        Kaggle().push(folder)


def test_a_refused_source_is_told(account, stub, folder):
    stub.answer["SaveKernel"] = {"versionNumber": 1, "invalidDatasetSources": ["ann/weights"]}
    assert Kaggle().push(folder).refused == ("ann/weights",)


@pytest.mark.parametrize(
    ("code", "message", "told", "sure"),
    [
        (403, "You must accept this competition's rules", "accept this competition's rules; accept the rules on", True),
        (404, "Not found", "submissions to voices-challenge: 404: Not found; check the name", True),
        (409, "Title in use", "409: Title in use", True),
        (429, "Too many requests", "429: Too many requests; wait a while", True),
        (500, "Oh\nno", "500: Oh no", False),
    ],
)
def test_a_refusal_is_one_line_with_its_code(account, stub, code, message, told, sure):
    stub.fail["ListSubmissions"] = (code, message)
    with pytest.raises(KaggleError) as caught:
        Kaggle().submissions("voices-challenge")
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.sure is sure


def test_a_server_that_does_not_answer_is_left(account, stub):
    stub.delay["ListSubmissions"] = 2
    kaggle = Kaggle()
    kaggle.seconds = 0.2  # signing in may take its time
    with pytest.raises(KaggleError, match="submissions to voices-challenge: no answer within 0.2 s") as caught:
        kaggle.submissions("voices-challenge")
    assert not caught.value.sure and caught.value.passing


def test_a_server_that_is_not_there_is_told(account, stub, monkeypatch):
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, "http://127.0.0.1:9")
    with pytest.raises(KaggleError, match="Kaggle can not be reached") as caught:
        Kaggle().slots("voices-challenge")
    assert not caught.value.sure


def test_nobody_signed_in_is_one_line_and_not_the_clients_page_of_help(nobody, capsys):
    with pytest.raises(
        KaggleError, match=r"^signing in: not signed in; make a token on kaggle.com .* kaggle auth login$"
    ):
        Kaggle()
    assert capsys.readouterr() == ("", "")


def test_a_machine_without_the_client_says_what_to_install(nobody, monkeypatch):
    monkeypatch.setattr(client, "find_spec", lambda name: None)
    with pytest.raises(KaggleError, match="^the kaggle package must be installed: pip install kaggle$"):
        Kaggle()


def test_a_token_is_as_good_as_a_key_and_is_never_told(account, stub, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "good")
    kaggle = Kaggle()
    assert kaggle.username == "stub-user"
    stub.fail["ListSubmissions"] = (403, "token good may not")
    with pytest.raises(KaggleError, match=r"token \*\*\* may not"):
        kaggle.submissions("voices-challenge")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "stale")
    with pytest.raises(KaggleError, match="not signed in"):
        Kaggle()


def test_pages_are_read_to_the_last(account, stub):
    stub.page, stub.slots = 2, 100
    for number in range(5):
        stub.CreateSubmission({"submissionDescription": f"m{number}"})
    assert [found.message for found in Kaggle().submissions("voices-challenge")] == ["m4", "m3", "m2", "m1", "m0"]


def test_scores_are_numbers_or_unknown(account, stub):
    stub.CreateSubmission({"submissionDescription": "m"})
    stub.scores = ("0.5", "0.25")
    (found,) = Kaggle().submissions("voices-challenge")
    assert (found.ref, found.status, found.public, found.private) == ("5000", "complete", 0.5, 0.25)
    stub.submissions[0] |= {"publicScore": "", "status": "ERROR", "errorDescription": "Evaluation failed"}
    (found,) = Kaggle().submissions("voices-challenge")
    assert (found.status, found.public, found.error) == ("error", None, "Evaluation failed")


def test_slots_of_an_account_without_a_team_are_not_known(account, stub):
    assert Kaggle().slots("voices-challenge") == 5
    stub.answer["GetSubmissionLimits"] = {"numToday": 5}  # fields of 0 are left out
    assert Kaggle().slots("voices-challenge") == 0
    stub.answer["GetSubmissionLimits"] = {}
    assert Kaggle().slots("voices-challenge") is None


def test_a_failed_upload_is_a_sure_no(account, stub, tmp_path):
    (tmp_path / "s.csv").write_text("Id,Category\n")
    stub.fail["PUT"] = (500, "")
    with pytest.raises(KaggleError, match="the upload failed, and nothing was submitted") as caught:
        Kaggle().submit_file(tmp_path / "s.csv", "m", "voices-challenge")
    assert caught.value.sure and stub.submissions == []


def test_outputs_are_fetched_with_the_log(account, stub, tmp_path):
    stub.page = 1
    stub.outputs = {"submission.csv": b"a,b\n", "runs/x/experiment.json": b"{}"}
    files = Kaggle().output("stub-user/kit", tmp_path / "out")
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in files) == sorted(stub.outputs)
    assert (tmp_path / "out/submission.csv").read_bytes() == b"a,b\n"
    assert (tmp_path / "out/kit.log").read_text() == "hello\n"


@pytest.mark.parametrize("name", ["../secrets.txt", "/tmp/x", "a/../../b", "C:/x"])
def test_an_output_that_would_lie_elsewhere_is_refused(account, stub, tmp_path, name):
    stub.outputs = {"good.csv": b"1", name: b"2"}
    with pytest.raises(KaggleError, match="a file must lie in its folder, got"):
        Kaggle().output("stub-user/kit", tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""`kiosk-server leavers`: cards in use whose holders have left."""

import click

from server.context import Context, ask, columns

WHY = {
    "disabled": "the account is disabled",
    "account-over": "the account is over",
    "not-found": "not in the directory any more",
}


@click.command("leavers")
@click.pass_obj
def leavers(context: Context) -> None:
    """Ask the directories now which cards in use are of people who have left; changes nothing."""
    found = ask(context, lambda client: client.people.leavers())
    rows = [
        (leaver.holder_name, leaver.template, leaver.state, WHY.get(leaver.why, leaver.why), leaver.policy)
        for each in found
        for leaver in each.leavers
    ]
    words = (
        [columns([("HOLDER", "TEMPLATE", "STATE", "WHY", "POLICY"), *rows])] if rows else ["Nobody has left."]
    )
    words += [f"{each.name}: nothing is known: {each.silent}" for each in found if each.silent]
    words += [
        f"{each.name}: {len(each.leavers)} of {each.asked} at once; nobody is suspended for that"
        for each in found
        if each.doubtful
    ]
    context.result(
        {
            "directories": [
                {
                    "name": each.name,
                    "asked": each.asked,
                    "silent": each.silent or None,
                    "doubtful": each.doubtful,
                    "leavers": [
                        {
                            "record": str(leaver.record_id),
                            "holder": leaver.holder,
                            "name": leaver.holder_name,
                            "template": leaver.template,
                            "state": leaver.state,
                            "why": leaver.why,
                            "policy": leaver.policy,
                        }
                        for leaver in each.leavers
                    ],
                }
                for each in found
            ]
        },
        "\n".join(words),
    )

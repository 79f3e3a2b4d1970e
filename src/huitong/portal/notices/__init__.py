"""Notices at rest and on their way: the board that changes write to, in-boxes of persons, webhooks of offices, e-mail. Nothing in core
imports it; core posts to `huitong.sharing.ports.NoticeBoard`.
"""

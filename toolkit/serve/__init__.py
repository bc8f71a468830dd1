"""The server of ``toolkit serve``: an HTTP interface to trained models, a folder of images and their labels.

- ``options``, ``errors``: what can be set, and how errors become answers.
- ``guard``: what every request has to pass: host, origin, token, and the size and speed of its body.
- ``image_folder``, ``labels``: the two folders that requests reach, by names that are looked up.
- ``worker``, ``models``, ``predictions``: models, each with a thread of its own, and what they answer.
- ``sessions``: images that were encoded for prompts.
- ``training``: fine-tuning on the labels, in a process of its own.
- ``routes_*``, ``app``: the addresses. ``running``: the program around them.
"""

"""A shop with Django on MongoDB: an order and its task commit together.

In the folder above, with `MONGOQ_URI=mongodb://localhost/shop?replicaSet=rs0`: `python manage.py runserver`, and beside
it `python manage.py mongoq_worker`. `tests/contrib/test_django.py` runs it.
"""
